"""SIMULATED streams whose quality is constant, falls, swings or breaks, and misses of their mean.

A miss is looked for at every query, by the evidence that a confidence sequence is made of.
"""

from dataclasses import dataclass

import numpy as np

from controlplane.stats import Scores, aipw_scores, asymptotic_band
from controlplane.stats.beta_binomial import log_ratio
from controlplane.stats.empirical_bernstein import log_mixture
from controlplane.stats.intervals import Band
from tests.binormal import Array

QUERIES = 3000
TIME = np.linspace(0, 1, QUERIES)
QUALITY = {
    "constant": np.full(QUERIES, 0.8),
    "high": np.full(QUERIES, 0.95),
    "falling": 0.95 - 0.35 * TIME,
    "swinging": 0.8 + 0.15 * np.sin(40 * TIME),
    "broken": np.where(TIME < 0.3, 0.97, 0.7),
}
PREDICTED = ("constant", "good", "perverse")
RATES = (0.05, 0.2)
ALPHA = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What was right, and the scores of an audit of it at one rate."""

    right: Array
    scores: Scores
    rate: float

    @property
    def deviation(self) -> Array:
        """Sum of the scores less what they estimate, at each time."""
        return np.cumsum(self.scores.phi - self.right)

    def missed_by_asymptotic(self) -> bool:
        return ever_outside(asymptotic_band(self.scores, self.rate), self.right)

    def missed_by_bernstein(self) -> bool:
        squares = np.cumsum((self.scores.surprise * self.rate) ** 2)
        total = np.abs(self.deviation) * self.rate
        # evidence grows with the deviation: between draws only the largest one matters
        first = np.flatnonzero(np.diff(squares, prepend=-1.0))
        largest = np.maximum.reduceat(total, first)
        evidence = log_mixture(largest, squares[first], ALPHA / 2)
        return bool((evidence >= -np.log(ALPHA / 2)).any())


def stream(rng: np.random.Generator, quality: str, predictions: str, rate: float) -> Stream:
    """One audit of one stream, by the names of its quality and of what was predicted."""
    p = np.clip(QUALITY[quality] + rng.normal(0, 0.2, QUERIES), 0.02, 0.98)
    right = (rng.uniform(size=QUERIES) < p).astype(float)
    predicted = {"constant": np.full(QUERIES, 0.8), "good": p, "perverse": np.clip(1.1 - p, 0, 1)}
    seen = np.where(rng.uniform(size=QUERIES) < rate, right, np.nan)
    scores = aipw_scores(predicted[predictions], np.full(QUERIES, rate), seen)
    return Stream(right, scores, rate)


def ever_outside(band: Band, right: Array) -> bool:
    """Whether the running mean ever left its intervals."""
    mean = np.cumsum(right) / np.arange(1, len(right) + 1)
    return bool(((band.low > mean) | (band.high < mean)).any())


def missed_by_beta_binomial(right: Array, p: float) -> bool:
    """Whether labels ever refute the proportion that they were drawn with."""
    evidence = log_ratio(np.cumsum(right), np.cumsum(1 - right), p)
    return bool((evidence >= -np.log(ALPHA)).any())
