"""The measures of a router by hand, and the routing benchmark on a slice of its data."""

import os
from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks.curves import Outcomes, curve
from tests.benchmarks.routing import TASKS, mean_gain, parts, recorded, routed
from tests.benchmarks.streams import data_folder

DATA = os.environ.get("PENSTOCK_DATA")
CHEAP, DEAR = 0.1, 1.0

# Four queries: the strong model mends two of them, and spoils none.
FOUR = Outcomes(
    weak=np.array([1.0, 0.0, 1.0, 0.0]),
    strong=np.array([1.0, 1.0, 1.0, 1.0]),
    weak_usd=np.full(4, CHEAP),
    strong_usd=np.full(4, DEAR),
)
PERFECT = np.array([0.0, 1.0, 0.0, 1.0])


def test_a_perfect_router_recovers_the_gap_in_half_the_calls() -> None:
    found = curve(PERFECT, FOUR)
    assert found.recovered.tolist() == [0, 0.5, 1, 1, 1]
    assert found.apgr == pytest.approx(0.75)
    assert (found.cpt(0.5), found.cpt(0.8)) == (0.25, 0.5)
    assert found.saving == pytest.approx(1 - (2 * CHEAP + 2 * DEAR) / (4 * DEAR))
    assert found.auc == pytest.approx((0.5 + 0.75) / 2 / 4 + (0.75 + 1) / 2 / 4 + 0.5)


def test_a_reversed_router_is_as_bad_as_that_one_is_good() -> None:
    found = curve(-PERFECT, FOUR)
    assert found.recovered.tolist() == [0, 0, 0, 0.5, 1]
    assert found.apgr == pytest.approx(0.25)
    assert (found.cpt(0.5), found.cpt(0.8)) == (0.75, 1.0)
    assert found.saving == 0


def test_a_router_that_says_nothing_is_the_straight_line() -> None:
    found = curve(np.zeros(4), FOUR)
    assert found.recovered == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert found.apgr == pytest.approx(0.5)
    assert found.auc == pytest.approx(0.75)


def test_where_the_weak_model_is_better_more_than_the_gap_is_recovered() -> None:
    spoiled = replace(FOUR, strong=np.array([0.0, 1.0, 1.0, 1.0]))
    found = curve(np.array([0.0, 3.0, 1.0, 2.0]), spoiled)
    assert found.recovered.tolist() == [0, 1, 2, 2, 1]
    assert found.apgr == pytest.approx(1.375)
    assert found.saving == pytest.approx(1 - (3 * CHEAP + DEAR) / (4 * DEAR))


def test_a_prompt_is_in_one_part_however_often_it_comes() -> None:
    one, other = parts(["a", "b", "a", "c"], 1), parts(["a", "b", "a", "c"], 2)
    assert one[0] == one[2]
    assert {*one, *other} <= set(range(5))
    assert not np.array_equal(
        parts([str(n) for n in range(50)], 1), parts([str(n) for n in range(50)], 2)
    )


def test_the_mean_gain_of_a_category_comes_from_the_other_parts() -> None:
    categories = ["x", "x", "y", "y"]
    assert mean_gain(categories, FOUR, np.array([0, 1, 0, 1])).tolist() == [1, 0, 1, 0]


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="PENSTOCK_DATA names no folder of recordings")
def test_a_slice_of_a_recording_is_routed_better_than_by_chance() -> None:
    slice_ = recorded(TASKS["gsm8k"], data_folder(None)).at(np.arange(600))
    score = routed(slice_, 2001)
    assert score.shape == (600,)
    assert curve(score, slice_.outcomes).apgr > 0.5
    assert np.array_equal(score, routed(slice_, 2001))
