"""Causes by seeded simulation: named where they are at work, and nothing where none is."""

from dataclasses import dataclass

import numpy as np
import pytest

from controlplane.audit import cause_words
from controlplane.audit.cause import LABELS, SURE, Cause, Look, best, chances
from controlplane.audit.shifts import Array, Shift, Times, of_answers
from dataplane.contract.rule import expit
from tests.binormal import near_the_cutoff, separation

BEFORE, AFTER = 2_500, 1_600
AUDIT = 0.08


@dataclass(frozen=True)
class World:
    """Queries and their answers; ``moved``: a policy that judges, and audits, others than before.

    ``untold``: how much harder queries are than p_hat has it, in logits. A fifth of the queries
    goes straight to the cloud and has neither score nor local label.
    """

    mean: float = 0.9
    untold: float = 0.0
    lost: float = 0.0
    auroc: float = 0.8
    moved: bool = False
    verdicts: bool = False

    def drawn(self, rng: np.random.Generator, begin: int, count: int) -> tuple[Array, Array]:
        """Columns of ``Seen`` and of ``Told``, a second a query."""
        level = rng.normal(self.mean, 1.0, count)
        p_hat = expit(level)
        right = (rng.random(count) < expit(level - self.untold) * (1 - self.lost)).astype(float)
        score = rng.normal(separation(self.auroc) * right - self.untold / 2, 1.0)
        score = (score > 0.8).astype(float) if self.verdicts else score
        at = begin + np.arange(count, dtype=np.float64)
        judged = p_hat < 0.8 if self.moved else p_hat > 0.5
        chance = near_the_cutoff(score, 0.5, AUDIT) if self.moved else np.full(count, AUDIT)
        told = judged & (rng.random(count) < chance)
        known = np.where(judged & ~told, score, np.nan)
        labelled = np.column_stack([at, p_hat, score, right, 1 / chance])[told]
        return np.column_stack([at, p_hat, known]), labelled


USUAL = World()


def looks(seed: int, before: World, after: World) -> list[Look]:
    """Comparisons at the moment of the change, and at two others."""
    rng = np.random.default_rng(seed)
    seen, told = zip(before.drawn(rng, 0, BEFORE), after.drawn(rng, BEFORE, AFTER), strict=True)
    columns = np.concatenate(seen), np.concatenate(told)
    return [Look.at(Times(*columns, BEFORE + shift)) for shift in (-400, 0, 800)]


def named(seed: int, before: World, after: World) -> set[Cause]:
    """The causes that are sure."""
    return {cause for cause, p in chances(looks(seed, before, after)).items() if p >= SURE}


@pytest.mark.parametrize(
    ("cause", "after"),
    [
        ("local", World(lost=0.25)),
        ("judge", World(auroc=0.6)),
        ("mix", World(mean=0.1)),
    ],
)
def test_each_cause_is_named_and_no_other(cause: Cause, after: World) -> None:
    rightly = sum(named(seed, USUAL, after) == {cause} for seed in range(40))
    assert rightly >= 36


def test_what_p_hat_does_not_tell_of_a_harder_mix_is_no_second_cause() -> None:
    """Without the mix to explain it, the same is a weaker tier or another judge."""
    harder = World(mean=0.0, untold=0.5)
    assert sum(named(seed, USUAL, harder) == {"mix"} for seed in range(20)) >= 18
    assert sum(named(seed, USUAL, World(untold=0.5)) > set() for seed in range(20)) >= 15


def test_two_causes_at_once_are_both_named() -> None:
    both = World(lost=0.4, auroc=0.55)
    assert sum(named(seed, USUAL, both) == {"local", "judge"} for seed in range(20)) >= 15


@pytest.mark.parametrize("after", [USUAL, World(moved=True)])
def test_without_drift_nothing_is_named_whatever_the_policy_does(after: World) -> None:
    assert sum(bool(named(seed, USUAL, after)) for seed in range(100, 180)) <= 4


def test_a_judge_of_two_verdicts_is_no_other_matter() -> None:
    before, after = World(verdicts=True), World(verdicts=True, auroc=0.6)
    assert sum(named(seed, before, after) == {"judge"} for seed in range(20)) >= 18
    assert not any(named(seed, before, before) for seed in range(20))


def test_unlabelled_scores_alone_name_neither_judge_nor_tier() -> None:
    rng = np.random.default_rng(1)
    seen, told = USUAL.drawn(rng, 0, BEFORE)
    later, labelled = World(auroc=0.6).drawn(rng, BEFORE, AFTER)
    few = np.concatenate([told, labelled[: LABELS - 1]])
    look = Look.at(Times(np.concatenate([seen, later]), few, BEFORE))
    assert look.log_evidence("judge") > 30
    assert chances([look]).keys() == {"mix"}


def test_without_a_judge_the_local_tier_is_told_by_its_labels() -> None:
    def unjudged(world: World, begin: int, count: int) -> tuple[Array, Array]:
        seen, told = world.drawn(rng, begin, count)
        seen[:, 2] = told[:, 2] = np.nan
        return seen, told

    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        parts = unjudged(USUAL, 0, BEFORE), unjudged(World(lost=0.4), BEFORE, AFTER)
        seen, told = (np.concatenate(each) for each in zip(*parts, strict=True))
        found.append(chances([Look.at(Times(seen, told, BEFORE))]))
    assert sum(each["local"] >= SURE > each["judge"] for each in found) >= 18


def test_differences_have_the_error_that_is_stated() -> None:
    shifts = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        parts = USUAL.drawn(rng, 0, BEFORE), World(moved=True).drawn(rng, BEFORE, AFTER)
        seen, told = (np.concatenate(each) for each in zip(*parts, strict=True))
        shifts.append(of_answers(Times(seen, told, BEFORE)).shift)
    scaled = np.array([each.mean / np.sqrt(np.diag(each.covariance)) for each in shifts])
    assert scaled.std(axis=0) == pytest.approx(np.ones(4), abs=0.2)
    assert scaled.mean(axis=0) == pytest.approx(np.zeros(4), abs=0.5)


def test_evidence_averages_to_one_where_nothing_differs() -> None:
    """So that it exceeds 1 / CHANCE with a chance of at most CHANCE (Markov)."""
    rng = np.random.default_rng(5)
    design = np.vstack([np.eye(3), [1.2, 0.7, 0.3]])
    covariance = np.diag([0.04, 0.2, 0.3, 0.03]) ** 2
    none, spread = np.zeros(4), np.array([0.01, 0.05, 0.05])
    drawn = rng.multivariate_normal(none, covariance, 20_000)
    factors = [np.exp(Shift(each, covariance, design).log_evidence(spread)) for each in drawn]
    assert np.mean(factors) == pytest.approx(1.0, abs=0.05)


def test_a_p_value_is_uniform_whatever_the_other_causes_do() -> None:
    rng = np.random.default_rng(6)
    design = np.vstack([np.eye(3), [1.2, 0.7, 0.3]])
    covariance = np.diag([0.04, 0.2, 0.3, 0.03]) ** 2
    weaker = design @ np.array([-0.2, 0.0, 0.0])
    drawn = rng.multivariate_normal(weaker, covariance, 2_000)
    judge = np.array([False, True, True])
    p = [Shift(each, covariance, design).p_value(judge) for each in drawn]
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.025)


@pytest.mark.parametrize(
    ("cause", "after", "said"),
    [
        ("local", World(lost=0.3), "the local tier got weaker: it answers"),
        ("judge", World(auroc=0.55), "the judge changed: its AUROC is 0."),
        ("mix", World(mean=0.0), "the mix of queries got harder: p_hat ranks at 0."),
        ("mix", World(mean=1.8), "the mix of queries got easier: p_hat ranks at 0."),
    ],
)
def test_it_says_so_with_figures(cause: Cause, after: World, said: str) -> None:
    look = best(looks(3, USUAL, after), cause)
    sentence = cause_words.named([cause], look)
    assert sentence.startswith(said)
    assert "p < .0001" in sentence
    assert sentence.count("is not shown to differ") == 2


def test_it_dates_the_change() -> None:
    assert best(looks(4, USUAL, World(lost=0.3)), "local").since == BEFORE
