import numpy as np
import pytest

from controlplane.stats.bootstrap import ratios


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for seed in range(200):
        right = (rng.random((150, 1)) < 0.8).astype(float)
        (interval,) = ratios(right, np.ones_like(right), np.arange(150), seed=seed)
        covered += interval.low <= 0.8 <= interval.high
    assert 180 <= covered <= 199


def test_rows_of_a_cluster_are_drawn_together() -> None:
    """Ten copies of a query say no more than one does."""
    right = (np.random.default_rng(1).random((100, 1)) < 0.5).astype(float)
    copies = np.repeat(right, 10, axis=0)
    (once,) = ratios(right, np.ones_like(right), np.arange(100))
    (clustered,) = ratios(copies, np.ones_like(copies), np.repeat(np.arange(100), 10))
    (apart,) = ratios(copies, np.ones_like(copies), np.arange(1000))
    assert clustered.high - clustered.low == pytest.approx(once.high - once.low)
    assert apart.high - apart.low < (once.high - once.low) / 2


def test_a_ratio_to_itself_is_certain() -> None:
    usd = np.random.default_rng(2).random((50, 1))
    (interval,) = ratios(usd, usd, np.arange(50))
    assert (interval.low, interval.estimate, interval.high) == pytest.approx((1, 1, 1))


def test_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        ratios(np.empty((0, 1)), np.empty((0, 1)), np.empty(0, dtype=np.intp))
