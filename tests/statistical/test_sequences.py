"""Confidence sequences miss their estimand, at any time whatever, as rarely as they say.

Streams are SIMULATED (``tests/sequences.py``): quality constant, falling, swinging or broken;
predictions good, constant or perverse. Misses are looked for by the evidence that a sequence is
made of, and the intervals are checked to say the same.
"""

import numpy as np
import pytest

from controlplane.stats import asymptotic as normal_mixture
from controlplane.stats import asymptotic_band, beta_binomial_band, empirical_bernstein_band
from tests.coverage import EFFORT, assert_misses_at_most
from tests.sequences import (
    PREDICTED,
    QUALITY,
    RATES,
    ever_outside,
    missed_by_beta_binomial,
    stream,
)


@EFFORT
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("predictions", PREDICTED)
@pytest.mark.parametrize("quality", QUALITY)
def test_both_follow_the_running_mean(
    quality: str, predictions: str, rate: float, runs: int
) -> None:
    rng, asymptotic, bernstein = np.random.default_rng(5), [], []
    for run in range(runs):
        each = stream(rng, quality, predictions, rate)
        asymptotic.append(each.missed_by_asymptotic())
        bernstein.append(each.missed_by_bernstein())
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
        missed.append(missed_by_beta_binomial(right, p))
        if run < 5:
            band = beta_binomial_band(np.cumsum(right), np.cumsum(1 - right))
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
