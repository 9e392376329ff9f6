"""Confidence sequences miss their estimand, at any time whatever, as rarely as they say.

Streams are SIMULATED: quality constant, falling, swinging or broken; predictions good, constant or
perverse. A miss is looked for at every query, by the evidence that the sequence is made of, and
the intervals are checked to say the same.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from controlplane.stats import (
    Scores,
    aipw_scores,
    asymptotic_band,
    beta_binomial_band,
    empirical_bernstein_band,
)
from controlplane.stats import asymptotic as normal_mixture
from controlplane.stats import empirical_bernstein as gamma_mixture
from controlplane.stats.beta_binomial import log_ratio
from controlplane.stats.intervals import Band
from tests.coverage import EFFORT, assert_misses_at_most

Array = NDArray[np.float64]

QUERIES = 3000
TIME = np.linspace(0, 1, QUERIES)
QUALITY = {
    "constant": np.full(QUERIES, 0.8),
    "high": np.full(QUERIES, 0.95),
    "falling": 0.95 - 0.35 * TIME,
    "swinging": 0.8 + 0.15 * np.sin(40 * TIME),
    "broken": np.where(TIME < 0.3, 0.97, 0.7),
}
STREAMS = pytest.mark.parametrize("quality", QUALITY)
PREDICTIONS = pytest.mark.parametrize("predictions", ["constant", "good", "perverse"])
RATES = pytest.mark.parametrize("rate", [0.05, 0.2])
ALPHA = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What was right, and the scores of an audit of it."""

    right: Array
    scores: Scores

    @property
    def deviation(self) -> Array:
        """Sum of the scores less what they estimate, at each time."""
        return np.cumsum(self.scores.phi - self.right)


def stream(rng: np.random.Generator, quality: str, predictions: str, rate: float) -> Stream:
    p = np.clip(QUALITY[quality] + rng.normal(0, 0.2, QUERIES), 0.02, 0.98)
    right = (rng.uniform(size=QUERIES) < p).astype(float)
    predicted = {"constant": np.full(QUERIES, 0.8), "good": p, "perverse": np.clip(1.1 - p, 0, 1)}
    seen = np.where(rng.uniform(size=QUERIES) < rate, right, np.nan)
    return Stream(right, aipw_scores(predicted[predictions], np.full(QUERIES, rate), seen))


def ever_outside(band: Band, right: Array) -> bool:
    mean = np.cumsum(right) / np.arange(1, len(right) + 1)
    return bool(((band.low > mean) | (band.high < mean)).any())


@EFFORT
@RATES
@PREDICTIONS
@STREAMS
def test_both_follow_the_running_mean(
    quality: str, predictions: str, rate: float, runs: int
) -> None:
    rng, limit = np.random.default_rng(5), -np.log(ALPHA / 2)
    asymptotic, bernstein = [], []
    for run in range(runs):
        each = stream(rng, quality, predictions, rate)
        asymptotic.append(ever_outside(asymptotic_band(each.scores, rate), each.right))
        squares = np.cumsum((each.scores.surprise * rate) ** 2)
        total = np.abs(each.deviation) * rate
        evidence = gamma_mixture.log_mixture(total, squares, ALPHA / 2)
        bernstein.append(bool((evidence >= limit).any()))
        if run < 2:
            band = empirical_bernstein_band(each.scores, rate)
            assert ever_outside(band, each.right) == bernstein[-1]
    assert_misses_at_most(asymptotic)
    assert_misses_at_most(bernstein)


@EFFORT
@pytest.mark.parametrize("p", [0.5, 0.8, 0.97])
def test_the_beta_binomial_keeps_a_constant_proportion(p: float, runs: int) -> None:
    rng, missed = np.random.default_rng(7), []
    for run in range(runs):
        right = (rng.uniform(size=3000) < p).astype(float)
        successes, failures = np.cumsum(right), np.cumsum(1 - right)
        missed.append(bool((log_ratio(successes, failures, p) >= -np.log(ALPHA)).any()))
        if run < 5:
            band = beta_binomial_band(successes, failures)
            assert ((band.low > p) | (band.high < p)).any() == missed[-1]
    assert_misses_at_most(missed)


def test_an_interval_for_one_time_looked_at_after_every_label_misses_far_more_often() -> None:
    rng, missed = np.random.default_rng(8), []
    for _ in range(200):
        each = stream(rng, "constant", "constant", 0.2)
        error = 1.96 * np.sqrt(np.cumsum(each.scores.variance))
        late = normal_mixture.enough(each.scores.variance)
        missed.append(bool((np.abs(each.deviation) > error)[late].any()))
    assert np.mean(missed) > 0.2


def test_the_asymptotic_sequence_is_the_narrower() -> None:
    each = stream(np.random.default_rng(9), "falling", "good", 0.2)
    widths = [
        band.high[-1] - band.low[-1]
        for band in (asymptotic_band(each.scores, 0.2), empirical_bernstein_band(each.scores, 0.2))
    ]
    assert widths[0] < 0.9 * widths[1]
