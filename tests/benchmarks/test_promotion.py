import os

import numpy as np
import pytest

from controlplane.stats.contest import Claim
from tests.benchmarks import promotion
from tests.benchmarks.promotion import MARGIN, TARGET, TOLERANCE, Window
from tests.benchmarks.streams import data_folder, halves

recorded = pytest.mark.skipif(
    "PENSTOCK_DATA" not in os.environ, reason="PENSTOCK_DATA names no folder of recordings"
)
PAIRS = Window(np.repeat([1.0, 0.0, -1.0], [40, 50, 10]), 0.1)


@pytest.mark.parametrize("mean", [-0.6, -0.05, 0.3, 0.7])
def test_pairs_are_moved_to_a_mean_by_a_label_each(mean: float) -> None:
    turned = promotion.moved(PAIRS.differences, mean)
    assert turned.mean() == pytest.approx(mean, abs=0.011)
    assert np.abs(turned - PAIRS.differences).max() <= 1
    assert set(turned) <= {-1.0, 0.0, 1.0}


def test_at_the_boundary_as_many_differ_and_the_margin_just_holds() -> None:
    just = promotion.boundary(PAIRS, Claim(MARGIN))
    assert just.discordant == PAIRS.discordant
    assert just.share * just.differences.mean() == pytest.approx(-MARGIN, abs=0.0011)


def test_what_is_clear_takes_few_labels_and_a_daily_test_many() -> None:
    rng = np.random.default_rng(5)
    ended = [promotion.paired(PAIRS, Claim(MARGIN), rng) for _ in range(5)]
    assert {each.said for each in ended} == {"holds"}
    assert np.median([each.labels for each in ended]) < 120
    daily = promotion.tested_daily(PAIRS, TARGET, rng)
    assert daily.labels >= 2 * promotion.A_DAY


def test_ten_in_a_row_keep_the_promise() -> None:
    quality = promotion.chain(0.5, np.random.default_rng(6))
    assert TARGET - TOLERANCE <= quality <= TARGET


@recorded
def test_windows_of_recorded_outcomes_change_quality_as_asked() -> None:
    parts = halves(data_folder(None))
    for points in (promotion.GAIN, promotion.LOSS):
        found = promotion.window(parts, 0.1, points)
        assert found.share * found.differences.mean() == pytest.approx(points, abs=0.001)
