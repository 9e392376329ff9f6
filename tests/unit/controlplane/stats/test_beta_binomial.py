import numpy as np
import pytest

from controlplane.stats import beta_binomial_band
from controlplane.stats.beta_binomial import log_ratio


def test_the_ends_are_where_the_ratio_reaches_one_over_alpha() -> None:
    successes, failures = np.array([80.0, 9]), np.array([20.0, 1])
    band = beta_binomial_band(successes, failures, 0.9)
    for end in (band.low, band.high):
        assert np.exp(log_ratio(successes, failures, end)) == pytest.approx([10, 10])


def test_one_kind_alone_leaves_its_end_open() -> None:
    band = beta_binomial_band(np.array([0.0, 50, 0]), np.array([0.0, 0, 50]))
    assert (band.low[0], band.high[0]) == (0.0, 1.0)
    assert (band.high[1], band.low[2]) == (1.0, 0.0)
    assert band.low[1] == pytest.approx(1 - band.high[2])


def test_at_the_truth_the_ratio_is_a_martingale() -> None:
    """Its mean over one more label is what it was."""
    m = 0.7
    after = [log_ratio(np.array(8.0 + hit), np.array(3.0 - hit), m) for hit in (0, 1)]
    mean = (1 - m) * np.exp(after[0]) + m * np.exp(after[1])
    assert mean == pytest.approx(np.exp(log_ratio(np.array(8.0), np.array(2.0), m)))
