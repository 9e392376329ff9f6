"""What a router is worth, by the definitions that the published figures use.

A router ranks queries; the curve is the quality and the cost of sending its first k to the strong
model and the rest to the weak one, for every k. Queries of equal score are sent in random order,
in expectation: a router that says nothing is the straight line.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataplane.contract.rule import Array

REACHED = 1e-9  # of quality: what rounding may lack


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What either model's answer is worth, and costs in USD, per query (N,)."""

    weak: Array
    strong: Array
    weak_usd: Array
    strong_usd: Array

    def __len__(self) -> int:
        return len(self.weak)

    def at(self, places: NDArray[np.intp]) -> "Outcomes":
        """Some of the queries, in this order, repeated where named twice."""
        return Outcomes(
            self.weak[places], self.strong[places], self.weak_usd[places], self.strong_usd[places]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Mean quality and mean USD (N + 1,) with the first 0 .. N queries sent to the strong model."""

    quality: Array
    usd: Array

    @property
    def share(self) -> Array:
        """Share of queries sent to the strong model (N + 1,)."""
        return np.linspace(0, 1, len(self.quality))

    @property
    def recovered(self) -> Array:
        """PGR (N + 1,): share of the gap in quality between the models; never clamped."""
        gap = self.quality[-1] - self.quality[0]
        return np.asarray((self.quality - self.quality[0]) / gap)

    @property
    def apgr(self) -> float:
        """Area under PGR over the share sent (RouteLLM, arXiv 2406.18665)."""
        return float(np.trapezoid(self.recovered, self.share))

    def cpt(self, wanted: float) -> float:
        """The smallest share sent at which PGR reaches ``wanted`` (RouteLLM's CPT)."""
        return float(self.share[np.argmax(self.recovered >= wanted - REACHED)])

    @property
    def saving(self) -> float:
        """1 - cost / cost of always strong, at no less quality than it (FrugalGPT, 2305.05176)."""
        as_good = self.quality >= self.quality[-1] - REACHED
        return float(1 - self.usd[as_good].min() / self.usd[-1])

    @property
    def auc(self) -> float:
        """Area under quality against cost, over the range of cost (arXiv 2410.10347)."""
        return float(np.trapezoid(self.quality, self.usd) / (self.usd[-1] - self.usd[0]))


def curve(score: Array, outcomes: Outcomes) -> Curve:
    """The curve of a router that sends the highest ``score`` (N,) to the strong model first."""
    _, rank = np.unique(-score, return_inverse=True)
    return Curve(
        _path(rank, outcomes.weak, outcomes.strong),
        _path(rank, outcomes.weak_usd, outcomes.strong_usd),
    )


def _path(rank: NDArray[np.intp], weak: Array, strong: Array) -> Array:
    tied = np.bincount(rank)
    gains = np.bincount(rank, weights=strong - weak) / tied
    mended = np.concatenate([[0.0], np.cumsum(np.repeat(gains, tied))])
    return np.asarray((weak.sum() + mended) / len(weak))
