"""The rivals and the drifts, on synthetic halves: no recording is needed."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from tests.benchmarks import rivals
from tests.benchmarks.frontier import Frontier
from tests.benchmarks.learning import rival_table, standing
from tests.benchmarks.picture import Point, Span, draw
from tests.benchmarks.runs import Window, windows
from tests.benchmarks.streams import (
    CHEAPER,
    CLOUD_COST,
    HARD,
    HARD_AFTER,
    LOCAL_COST,
    Halves,
    Pool,
    stream,
)
from tests.unit.controlplane.learn.rows import EASY, rows


def pool(seed: int, count: int) -> Pool:
    """Categories are lengths: the longer, the more often the local tier is wrong."""
    drawn = rows(seed, count, EASY)
    kinds = tuple(str(row.features.chars) for row in drawn)
    local, cloud = np.array([row.worth for row in drawn]).T
    return Pool(tuple(row.features for row in drawn), kinds, local, cloud)


@pytest.fixture(scope="module")
def parts() -> Halves:
    return Halves(pool(1, 1200), pool(2, 400), pool(3, 1200))


def test_the_mix_turns_harder_half_way(parts: Halves) -> None:
    drawn = stream(parts, 5, 4000, "mix")
    lowest = parts.p_hat <= np.quantile(parts.p_hat, HARD)
    hard = lowest[drawn.places]
    assert hard[:2000].mean() == pytest.approx(lowest.mean(), abs=0.04)
    assert hard[2000:].mean() == pytest.approx(HARD_AFTER, abs=0.04)
    usual = stream(parts, 5, 4000, "none")
    assert (usual.places[:2000] == drawn.places[:2000]).all()
    assert parts.target_under("mix") < parts.target


def test_the_price_falls_half_way_and_nothing_else_does(parts: Halves) -> None:
    drawn, usual = stream(parts, 5, 400, "price"), stream(parts, 5, 400, "none")
    assert {row.usd[1] for row in drawn.rows[:200]} == {CLOUD_COST}
    assert {row.usd[1] for row in drawn.rows[200:]} == {CHEAPER}
    assert [row.worth for row in drawn.rows] == [row.worth for row in usual.rows]


def test_a_coin_and_categories_reach_the_target(parts: Halves) -> None:
    drawn = stream(parts, 6, 4000, "none")
    coin, kinds = rivals.random_mix(parts, drawn, 6), rivals.category_mean(parts, drawn, 6)
    assert coin.quality.mean() == pytest.approx(parts.target, abs=0.03)
    assert kinds.quality.mean() > parts.target - 0.03
    assert kinds.cost.mean() < coin.cost.mean() - 0.08
    gains = rivals.category_gains(parts)
    assert gains["20"] > gains["14"] + 0.2


def test_hindsight_beats_a_coin_and_the_oracle_beats_hindsight(parts: Halves) -> None:
    drawn = stream(parts, 7, 2000, "none")
    coin, fixed, all_known = (
        rival(parts, drawn, 7) for rival in (rivals.random_mix, rivals.hindsight, rivals.oracle)
    )
    for part in (slice(0, 1000), slice(1000, 2000)):
        assert fixed.quality[part].mean() >= parts.target
        assert all_known.quality[part].mean() >= parts.target
    assert all_known.cost.mean() < fixed.cost.mean() < coin.cost.mean()


def test_fixed_tiers_cost_what_they_cost(parts: Halves) -> None:
    drawn = stream(parts, 8, 600, "none")
    local, cloud = (rivals.always(tier)(parts, drawn, 8) for tier in (0, 1))
    assert set(local.cost.tolist()) == {LOCAL_COST}
    assert set(cloud.cost.tolist()) == {CLOUD_COST}
    first, second = windows(parts, "none", local, drawn.rows)
    assert first.excess == pytest.approx(0.0)
    assert second.shortfall > 500


def test_a_rivals_figures_are_of_seeds() -> None:
    runs = [(Window(0.1, 1.0, -0.02, 0.5), Window(0.3, 1.2, 0.0, 0.7)) for _ in range(3)]
    figures = standing(runs)
    assert figures["cost"].value == pytest.approx(0.6)
    assert figures["shortfall"].value == pytest.approx(100.0)
    assert figures["excess"].n == 3
    assert "| a rival | 0.6 +- " in rival_table({"a rival": figures})


def test_the_picture_is_well_formed_and_names_every_rival() -> None:
    span = Span(0.5, 0.4, 0.6)
    points = [Point(name, span, Span(0.8, 0.79, 0.81)) for name in ("always local", "a < b & c")]
    drawn = draw(points, Frontier(np.array([0.1, 0.9]), np.array([0.7, 0.85])), 0.8)
    texts = [element.text for element in ET.fromstring(drawn).iter()]
    assert {"always local", "a < b & c", "target 0.800", "frontier"} <= set(texts)
