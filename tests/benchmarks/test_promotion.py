import os

import numpy as np
import pytest

from controlplane.stats.contest import Claim
from tests.benchmarks import cheaper, promotion
from tests.benchmarks.cheaper import Scenario
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


def scenario(proposed: float) -> Scenario:
    """Against a cloud that is right in 81 of 100 cases."""
    rng = np.random.default_rng(7)
    cloud, other = (
        (rng.permutation(100) < 100 * share).astype(float) for share in (0.81, proposed)
    )
    return Scenario(cloud, other, 0.76, 0.02, proposed - 0.81, 0.6)


def test_a_cheaper_policy_is_asked_for_itself_and_promoted_where_it_meets_the_target() -> None:
    meets = cheaper.runs(scenario(0.78), 1)
    assert {each.alone for each in meets} == {True}
    assert [each.said for each in meets].count("holds") >= 80
    assert [each.said for each in cheaper.runs(scenario(0.74), 1)].count("holds") <= 5
    pairs = cheaper.runs(scenario(0.78), 1, pairs=True)
    assert {each.alone for each in pairs} == {False}
    assert [each.said for each in pairs].count("holds") <= 30


@recorded
def test_windows_of_recorded_outcomes_change_quality_as_asked() -> None:
    parts = halves(data_folder(None))
    for points in (promotion.GAIN, promotion.LOSS):
        found = promotion.window(parts, 0.1, points)
        assert found.share * found.differences.mean() == pytest.approx(points, abs=0.001)
