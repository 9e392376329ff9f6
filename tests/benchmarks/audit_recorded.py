"""Recorded judges on trial: other models' agreement with the local answer, or self-consistency.

Audits of a recording are replayed, and the gate is run on traffic drawn from it; what they say is
held against the recording as a whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import log
from pathlib import Path

import numpy as np

from controlplane.evaluate.pairing import Pairs, Scores
from controlplane.stats import Interval, Survey, auroc, confusion, wilson
from controlplane.stats.betting import evidence_paths
from controlplane.stats.gate import Terms
from dataplane.contract.rule import Array
from tests.benchmarks.cells import Outcome, Rng, Trial, checked
from tests.benchmarks.folds import sweeps
from tests.benchmarks.judged import DUELS, loaded
from tests.benchmarks.served import served_quality
from tests.binormal import Mask

CUTOFF = 0.5  # accepts an answer that the judge agrees with, or half of the samples
LABELS = (100, 300)
SERVED_LABELS = (120, 360)
MOST_LABELLED = 0.9  # of a file
TRAFFIC_PER_LABEL = 4
LAMBDAS = np.array([0.1, 0.2, 0.4])  # quality per cloud call
OPEN_WITHIN = 300  # pairs
MOST_QUERIES = 6_000
RATES = ("tpr", "fpr", "precision", "accepted")  # of a confusion


@dataclass(frozen=True, eq=False)
class Judged:
    """Queries (N,): the judge's score, and whether either tier's answer is right."""

    name: str
    score: Array
    local: Mask
    cloud: Mask

    @cached_property
    def true(self) -> dict[str, float]:
        """The judge's rates and area over the whole recording."""
        ones = np.ones(len(self.score))
        rates = confusion(self.score, self.local, ones, CUTOFF)
        area = auroc(self.score, self.local, ones).estimate
        return {name: getattr(rates, name).estimate for name in RATES} | {"AUROC": area}

    def served(self, way: str) -> Array:
        """What is served: the local answer always, or only where the judge accepts it."""
        if way == "local":
            return self.local.astype(float)
        return np.where(self.score >= CUTOFF, self.local, self.cloud).astype(float)


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Judging against routing at one lambda (N,), both policies frozen, on one recording."""

    name: str
    difference: Array
    pair: Mask
    reach: float

    @property
    def truth(self) -> float:
        """What judging is worth over the whole recording."""
        return float(self.difference.mean())

    @property
    def queries(self) -> int:
        """So many as will hold the pairs that the gate is given."""
        need = 1.5 * OPEN_WITHIN / max(float(self.pair.mean()), 1e-9)
        return int(min(need, MOST_QUERIES))


def recordings(data: Path) -> list[tuple[str, Pairs, list[str]]]:
    """Each file and local tier with its cheapest judge: name, pairs, prompts."""
    found = []
    for duel in DUELS:
        judges, prompts = loaded(data, duel)
        found.append((f"{duel.file} {duel.name}", next(iter(judges.values())), prompts))
    return found


def judged(name: str, pairs: Pairs) -> Judged:
    """Without what it costs."""
    assert pairs.judge is not None
    local, cloud = np.array([row.worth for row in pairs.rows]).T == 1
    return Judged(name, pairs.judge.raw, local, cloud)


def figures_of(rng: Rng, each: Judged, labels: int, *, adaptive: bool) -> Iterator[Outcome]:
    """The judge's rates and area, from traffic drawn with replacement.

    Adaptive: answers that the judge rejects are drawn three times as often.
    """
    places = rng.integers(len(each.score), size=labels * TRAFFIC_PER_LABEL)
    score, right = each.score[places], each.local[places]
    more = 1 + 2 * ((score < CUTOFF) & adaptive)
    chance = more * labels / more.sum()
    drawn = rng.uniform(size=len(places)) < chance
    seen = (score[drawn], right[drawn], chance[drawn])
    rates = confusion(*seen, CUTOFF)
    where = f"{each.name}, {'adaptive' if adaptive else 'uniform'}, {labels} labels"
    for name in RATES:
        yield checked(f"recorded/{name}, {where}", getattr(rates, name), each.true[name])
    if 0 < seen[1].sum() < len(seen[1]):
        yield checked(f"recorded/AUROC, {where}", auroc(*seen), each.true["AUROC"])


def served(rng: Rng, each: Judged, way: str, labels: int) -> Iterator[Outcome]:
    """The quality served over the whole file, the judge's score as the prediction."""
    value = each.served(way)
    share = min(labels / len(value), MOST_LABELLED)
    drawn = rng.uniform(size=len(value)) < share
    chance, mean = np.full(int(drawn.sum()), share), float(each.score.mean())
    survey = Survey(value[drawn], each.score[drawn], chance, mean, len(value))
    where, truth = f"{way} served, {each.name}, {labels} labels", float(value.mean())
    yield checked(f"recorded/{where}", served_quality(survey), truth)
    yield checked(f"recorded_wilson/{where}", _plain(survey, share), truth)


def _plain(survey: Survey, share: float) -> Interval:
    """Wilson's, with the same credit for having seen a part of a finite stream."""
    return wilson(float(survey.value.mean()), len(survey.value) / (1 - share))


def contests(name: str, pairs: Pairs, prompts: Sequence[str], seed: int) -> list[Contest]:
    """Both policies out of fold, at each lambda; with the judge as it is, and broken.

    Broken: its scores are shuffled among the queries after the policies were fitted.
    """
    priced = at_mean_prices(pairs)
    shuffled = np.random.default_rng(seed).permutation(len(priced.rows))
    scores = [priced.rows[place].score for place in shuffled]
    rows = (replace(row, score=score) for row, score in zip(priced.rows, scores, strict=True))
    ways = {"": priced, " broken": replace(priced, rows=tuple(rows))}
    return [
        contest
        for broken, each in ways.items()
        for contest in _contests(f"{name}{broken}", each, prompts, seed)
    ]


def at_mean_prices(pairs: Pairs) -> Pairs:
    """Every call at its tier's mean cost, in cloud calls: the prices of the rule."""
    assert pairs.judge is not None
    local, cloud = np.mean([row.usd for row in pairs.rows], axis=0).tolist()
    price = float(pairs.judge.usd.mean()) / cloud
    rows = (replace(row, usd=(local / cloud, 1.0), judge_usd=price) for row in pairs.rows)
    judge = Scores(pairs.judge.name, pairs.judge.raw, np.full(len(pairs.rows), price))
    return replace(pairs, rows=tuple(rows), judge=judge)


def _contests(name: str, pairs: Pairs, prompts: Sequence[str], seed: int) -> list[Contest]:
    found = sweeps({"": pairs}, prompts, seed, LAMBDAS)[""]
    usd, quality = (
        [held[mode] for mode in ("route", "cascade_route")] for held in (found.usd, found.quality)
    )
    differs = (usd[0] >= 1) != (usd[1] >= 1)
    right = np.array([row.worth for row in pairs.rows]).min(axis=1) == 1
    row = pairs.rows[0]
    dearest = 1 + row.usd[0] + row.judge_usd
    return [
        Contest(
            f"{name}, lambda {lambda_:g}",
            (quality[1] - quality[0] - lambda_ * (usd[1] - usd[0]))[:, at],
            differs[:, at] & ~right,
            1 + lambda_ * dearest,
        )
        for at, lambda_ in enumerate(LAMBDAS.tolist())
    ]


def opens(rng: Rng, contest: Contest) -> Iterator[Outcome]:
    """Whether the gate opens within 300 pairs, which it should if judging pays on the whole."""
    places = rng.integers(len(contest.pair), size=contest.queries)
    pairs = np.cumsum(contest.pair[places])
    seen = places[: int(np.searchsorted(pairs, OPEN_WITHIN)) + 1]
    evidence = evidence_paths(contest.difference[seen], least=-contest.reach)
    opened = bool(evidence.max() >= -log(Terms(contest.reach).level))
    pays = contest.truth > 0
    yield f"{'pays' if pays else 'does_not_pay'}/{contest.name}", opened == pays, contest.truth


def trials(every: Sequence[Judged]) -> list[Trial]:
    """Of all judges: their figures, and the quality served."""
    return [
        *(
            partial(figures_of, each=each, labels=labels, adaptive=adaptive)
            for each in every
            for labels in LABELS
            for adaptive in (False, True)
        ),
        *(
            partial(served, each=each, way=way, labels=labels)
            for each in every
            for way in ("local", "cascade")
            for labels in SERVED_LABELS
        ),
    ]
