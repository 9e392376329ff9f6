"""The frontier: what the rule's policies, fitted on the teaching half, make of a stream.

One document is fitted to the whole teaching half with plentiful judge scores; its lambda is then
swept over the very queries of a window, and the concave hull of (cost, quality) is the frontier.
Policies fitted beforehand and mixed by chance reach it; nothing is fitted to the window itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from controlplane.evaluate.replay import EPOCH, Row
from controlplane.learn.evidence import Labels
from controlplane.start import untrained
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import (
    AuditTerms,
    JudgeTable,
    QualityTarget,
    ShadowTerms,
    TierTerms,
)
from dataplane.strategies import Queries, courses
from tests.benchmarks.fitting import fit
from tests.benchmarks.streams import (
    CHEAPER,
    CLOUD_COST,
    JUDGE_COST,
    LOCAL_COST,
    LOST,
    Drift,
    Halves,
    scores,
)

LAMBDAS = np.geomspace(0.03, 1.2, 40)
COPIES = 6  # judge scores drawn for each query that the document is fitted to
LOWEST, HIGHEST = -8.0, 8.0  # beyond all scores
TIERS = ("local", "cloud")


def start(
    target: float, audit: float, shadow: float, cloud_cost: float = CLOUD_COST
) -> PolicyDocument:
    """The policy before anything is learned: always the cloud."""
    prices = zip(TIERS, (LOCAL_COST, cloud_cost), strict=True)
    return untrained(
        [priced(name, cost) for name, cost in prices],
        _untrained_judge(),
        QualityTarget(target_quality=target),
        EPOCH,
        audit=AuditTerms(rate=audit),
        shadow=ShadowTerms(rate=shadow),
        gate="open",
    )


def priced(name: str, cost: float) -> TierTerms:
    """A tier of which every call costs the same."""
    price = cost * 1e6
    return TierTerms(
        name=name, input_usd_per_mtok=0, output_usd_per_mtok=price, completion_tokens=1
    )


def _untrained_judge() -> JudgeTable:
    return JudgeTable(
        judge="SIMULATED",
        lowest=LOWEST,
        highest=HIGHEST,
        edges=(0.5,),
        raw=(-0.5, 1.5),
        z=(-0.7, 0.7),
        f1=(0.25, 0.75),
        f0=(0.75, 0.25),
        cost_usd=JUDGE_COST,
    )


def fitted(halves: Halves, drift: Drift) -> PolicyDocument:
    """The document of the teaching half, whose p_hat is out of fold there."""
    rng, taught = np.random.default_rng(99), halves.taught
    p_hat = np.tile(halves.taught_p_hat, (COPIES, 1))
    local, cloud = (np.tile(column, COPIES) for column in (taught.local, taught.cloud))
    if drift == "local":
        local = np.where(rng.random(len(local)) < LOST, 0.0, local)
    score = scores(local, drift, rng)
    ones = np.ones(len(local))
    right = np.column_stack([local, cloud])
    none = np.zeros(len(local), dtype=np.intp)
    labels = Labels(p_hat, ones, score, none, right, np.ones_like(right), ones / COPIES, ones)
    plain = start(halves.target, 0.0, 0.0, CHEAPER if drift == "price" else CLOUD_COST)
    return fit(plain, labels, halves.prior.predictors)


@dataclass(frozen=True, eq=False)
class Frontier:
    """Points of a hull by rising cost: ``cost`` and ``quality`` (H,)."""

    cost: Array
    quality: Array

    def cost_at(self, quality: float) -> float:
        """The least mean cost of this mean quality."""
        return float(np.interp(quality, self.quality, self.cost))

    def quality_at(self, cost: float) -> float:
        """The best mean quality at this mean cost."""
        return float(np.interp(cost, self.cost, self.quality))


def frontier(document: PolicyDocument, rows: Sequence[Row]) -> Frontier:
    """Sweep the document's lambda over these rows."""
    swept = Sweep(document, rows)
    ends = ((swept.costs[0], swept.local), (swept.costs[2], swept.cloud))
    points = [(float(cost.mean()), float(quality.mean())) for cost, quality in ends]
    return hull(np.array(points + [swept.point(float(each)) for each in LAMBDAS]))


@dataclass(frozen=True, eq=False)
class Sweep:
    """What one document makes of rows at any lambda."""

    document: PolicyDocument
    rows: Sequence[Row]

    @cached_property
    def local(self) -> Array:
        """Worth of the local answers (N,)."""
        return np.array([row.worth[0] for row in self.rows])

    @cached_property
    def cloud(self) -> Array:
        """Worth of the cloud's answers (N,)."""
        return np.array([row.worth[1] for row in self.rows])

    @cached_property
    def costs(self) -> Array:
        """Of a local call, a judgement and a cloud call (3, N)."""
        rows = [(row.usd[0], row.judge_usd, row.usd[1]) for row in self.rows]
        return np.ascontiguousarray(np.array(rows).T)

    @cached_property
    def _queries(self) -> Queries:
        score = np.array([row.score for row in self.rows], dtype=np.float64)
        return Queries.of(self.document, [row.features for row in self.rows], score)

    def point(self, lambda_: float) -> tuple[float, float]:
        """Mean cost and quality at this lambda."""
        segment = self.document.segments[0].replaced(lambda_=lambda_)
        way = courses(self.document, segment, self._queries)
        local, judge, cloud = self.costs
        cost = np.where(way.straight, 0.0, local) + way.judged * judge + way.to_dear * cloud
        quality = np.where(way.to_dear, self.cloud, self.local)
        return float(cost.mean()), float(quality.mean())


def hull(points: Array) -> Frontier:
    """The upper concave hull of (cost, quality) points (N, 2), up to the best quality."""
    ordered = points[np.lexsort((-points[:, 1], points[:, 0]))]
    kept: list[Array] = []
    for point in ordered:
        while len(kept) >= 2 and _turns_up(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    corners = np.array(kept)
    corners = corners[: int(corners[:, 1].argmax()) + 1]
    return Frontier(corners[:, 0], corners[:, 1])


def _turns_up(first: Array, second: Array, third: Array) -> bool:
    one, other = second - first, third - first
    return bool(one[1] * other[0] <= other[1] * one[0])
