"""Draws where labels are worth most bend no estimate, and silence stays within its bounds.

SIMULATED traffic of a policy whose beliefs are off; it is drawn by the functions that serve, again
and again, each time by the chances that are logged.
"""

from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
import pytest

from controlplane.audit import sample
from controlplane.audit.served import Estimate, Served, estimate
from controlplane.learn import estimate as learner
from controlplane.learn.estimate import Basis, ModelError
from controlplane.learn.evidence import Labels
from controlplane.learn.imagine import Outlook, imagine
from controlplane.learn.policy_family import ALWAYS_CLOUD, Arm, Arms
from dataplane.contract.rule import Array, Mask, expit, logit
from dataplane.contract.terms import AuditTerms, ShadowTerms
from dataplane.strategies import Queries, courses, probabilities
from tests.audits import EXPIRED, UNSURE_OF_RIGHT, UNSURE_OF_WRONG
from tests.unit.dataplane.policies import policy

RATE, SHADOW = 0.1, 0.03
PLAIN = policy(
    audit=AuditTerms(rate=RATE), shadow=ShadowTerms(rate=SHADOW), segment={"lambda_": 0.25}
)
pytestmark = pytest.mark.slow

ARMS = Arms((ALWAYS_CLOUD, Arm("cascade_route", 0.25), Arm("route", 0.4)))


@dataclass(frozen=True, eq=False)
class Stream:
    """Queries, what each tier's answer is worth, which tiers answered, and each one's chance."""

    seen: Queries
    local: Mask
    cloud: Mask
    answered: Mask  # (N, tiers)
    chance: Array
    predicted: Array

    @property
    def served(self) -> Array:
        """(N,) The worth of what was served: the last answer."""
        return np.where(self.answered[:, 1], self.cloud, self.local).astype(float)


@pytest.fixture(scope="module")
def stream() -> Stream:
    queries, rng = 5000, np.random.default_rng(11)
    p = rng.uniform(0.2, 0.97, queries)
    local = rng.uniform(size=queries) < p
    cloud = rng.uniform(size=queries) < np.where(local, 0.97, 0.7)
    score = -np.exp(-rng.normal(1.5 * local, 1.0))
    told = np.column_stack([expit(0.6 * logit(p) + 0.3), np.full(queries, 0.8)])  # and not p
    chars, none = np.full(queries, 100.0), np.zeros(queries, np.intp)
    way = courses(PLAIN, PLAIN.segments[0], Queries(told, chars, score, none))
    known = np.where(way.judged, score, np.nan)
    seen = Queries(told, chars, known, none)
    drawn = PLAIN.replaced(audit=sample.drawing(PLAIN, seen, 0.3))
    chance = probabilities(drawn, drawn.audit.segments[0], seen)
    assert chance.max() > 2 * chance.min()
    answered = np.column_stack([~way.straight, way.to_dear])
    predicted = np.where(way.to_dear, 0.85, expit(0.8 * logit(told[:, 0]) + 0.4))
    return Stream(seen, local, cloud, answered, chance, predicted)


def audits(stream: Stream, redraws: int, silent: Array | float = 0.0) -> list[Estimate]:
    """What many audits say, each with its own draws; ``silent`` (N,): chance of no label."""
    rng, n = np.random.default_rng(12), len(stream.chance)
    plain = [
        Served(UUID(int=at), None, None, float(predicted))
        for at, predicted in enumerate(stream.predicted)
    ]
    unheard = [replace(s, probability=float(c)) for s, c in zip(plain, stream.chance, strict=True)]
    told = [replace(s, value=float(y)) for s, y in zip(unheard, stream.served, strict=True)]
    found = []
    for _ in range(redraws):
        drawn, quiet = rng.uniform(size=n) < stream.chance, rng.uniform(size=n) < silent
        answers = list(plain)
        for at in np.flatnonzero(drawn).tolist():
            answers[at] = (unheard if quiet[at] else told)[at]
        found.append(estimate("run", answers, 0.95))
    return found


def coverage(said: list[Estimate], truth: float, *, worst: bool) -> float:
    """The share of intervals, or of worst cases, that hold the truth."""
    found = [each.worst if worst else each.quality for each in said]
    return float(np.mean([each is not None and each.low <= truth <= each.high for each in found]))


def test_the_served_quality_is_unbiased_and_covered(stream: Stream) -> None:
    said, truth = audits(stream, 750), float(stream.served.mean())
    assert {each.method for each in said} == {"controlled"}
    errors = np.array([each.quality.estimate - truth for each in said if each.quality])
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(len(errors))
    assert 0.93 <= coverage(said, truth, worst=False) <= 0.97


def test_whatever_silence_hides_is_within_the_worst_case(stream: Stream) -> None:
    """Wrong answers are unsure of in 25 %, right ones in 10 %, 5 % of the tasks expire."""
    unsure = np.where(stream.served > 0, UNSURE_OF_RIGHT, UNSURE_OF_WRONG)
    said = audits(stream, 750, silent=1 - (1 - unsure) * (1 - EXPIRED))
    truth = float(stream.served.mean())
    assert coverage(said, truth, worst=True) >= 0.99
    assert coverage(said, truth, worst=False) < 0.9  # of what takes silence for chance


@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_the_bounds_cover_where_all_that_is_silent_is_of_one_kind(
    stream: Stream, hidden: float
) -> None:
    """The hardest case: the truth lies at an end of what is known, and sampling decides."""
    said = audits(stream, 600, silent=np.where(stream.served == hidden, 0.4, 0.0))
    assert coverage(said, float(stream.served.mean()), worst=True) >= 0.95


def learned_from(stream: Stream, fell: Array, *, logged: bool = True) -> Labels:
    """What one redraw, by a uniform number a query, gives the learner."""
    both = np.minimum(stream.chance, SHADOW)
    chance = np.where(stream.answered, stream.chance[:, None], both[:, None])
    right = np.column_stack([stream.local, stream.cloud]).astype(float)
    right = np.where(fell[:, None] < chance, right, np.nan)
    score = np.where(np.isnan(right[:, 0]), np.nan, stream.seen.score)
    drawn = fell < stream.chance
    ones = np.ones(drawn.sum())
    return Labels(
        stream.seen.p_hat[drawn], stream.seen.chars[drawn], score[drawn],
        stream.seen.category[drawn], right[drawn],
        chance[drawn] if logged else np.where(stream.answered, RATE, SHADOW)[drawn], ones, ones,
    )  # fmt: skip


def test_the_learners_estimates_are_unbiased_by_the_logged_chances_and_by_no_others(
    stream: Stream,
) -> None:
    rng, judged = np.random.default_rng(14), ~np.isnan(stream.seen.score)
    seen = stream.seen
    kept = Queries(
        seen.p_hat[judged], seen.chars[judged], seen.score[judged], seen.category[judged]
    )
    of_judged = Stream(
        kept,
        stream.local[judged],
        stream.cloud[judged],
        stream.answered[judged],
        stream.chance[judged],
        stream.predicted[judged],
    )
    imagined = imagine(Outlook.of(PLAIN, kept), ARMS.columns)
    worth = np.column_stack([of_judged.local, of_judged.cloud]).astype(float)
    ways = [1 - imagined.to_dear, *imagined.dear]
    truth = np.sum([w * worth[:, t, None] for t, w in enumerate(ways)], axis=0).mean(axis=0)

    def said(fell: Array, *, logged: bool) -> list[float]:
        labels = learned_from(of_judged, fell, logged=logged)
        found = learner.estimate(Basis(PLAIN, kept, labels, ModelError(0.0, 0.1, 0.0)), ARMS)
        return [each.quality for each in found]

    numbers = [rng.uniform(size=len(kept.chars)) for _ in range(250)]
    errors, astray = (
        np.array([said(fell, logged=logged) for fell in numbers]) - truth
        for logged in (True, False)
    )
    se = errors.std(axis=0) / np.sqrt(len(errors))
    assert (np.abs(errors.mean(axis=0)) < 3.5 * se).all()
    assert (np.abs(astray.mean(axis=0)) > 3.5 * se).any()
