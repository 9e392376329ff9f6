"""The benchmark of many tiers on a few made-up queries."""

import numpy as np
import pytest

from controlplane.evaluate.baselines import Outcomes
from controlplane.evaluate.pairing import Pairs
from tests.benchmarks import arrival, pool
from tests.benchmarks.frontier import Frontier
from tests.benchmarks.pool import Run, figures, run
from tests.unit.controlplane.learn.rows import KINDS, specialised

TIERS = ("local", "specialist", "cloud")


def made(count: int) -> Pairs:
    """Queries whose kinds are known, in a fixed order."""
    rows = specialised(1, count)
    kinds = tuple(list(KINDS)[at % len(KINDS)] for at in range(count))
    return Pairs(TIERS, tuple(map(str, range(count))), tuple(rows), None, 0, 0, (), kinds)


def test_a_run_is_measured_beside_what_else_could_have_been() -> None:
    pairs = made(900)
    found = run(pairs, 0.85, seed=3)
    assert list(found.models) == list(TIERS)
    assert found.models["local"] < found.penstock < found.models["cloud"]
    assert found.models["local"] < found.categories < found.models["cloud"]
    again = run(pairs, 0.85, seed=3)
    assert (found.penstock, found.categories) == (again.penstock, again.categories)
    assert found.tables.cost.tolist() == again.tables.cost.tolist()


def test_the_figures_compare_costs_at_equal_quality() -> None:
    models = {"local": (0.1, 0.5), "mid": (0.4, 0.6), "cloud": (1.0, 0.9)}
    tables = Frontier(np.array([0.1, 0.3, 1.0]), np.array([0.5, 0.7, 0.9]))
    runs = [
        Run(0.7, (0.35, 0.7), (0.4, 0.7), tables, models, 0.05),
        Run(0.8, (0.5, 0.8), (0.7, 0.85), tables, models, 0.05),
    ]
    named = figures({"three": [runs, runs]})
    over = [0.35 / 0.4 - 1, 0.5 / 0.6 - 1]
    assert named["three_over_category_mean"].value == pytest.approx(np.mean(over))
    assert named["three_over_category_mean_worst"].value == pytest.approx(max(over))
    short = [0.2 * (0.05 / 0.7), 0.2 * (0.2 / 0.7) - 0.1]
    assert named["three_short_of_best_table"].value == pytest.approx(np.mean(short))
    behind = [short[0] - 0.2 * (0.1 / 0.7), short[1] - 0.2 * (0.4 / 0.7) + 0.15]
    assert named["three_behind_category_mean"].value == pytest.approx(np.mean(behind))
    assert named["three_behind_category_mean_worst"].value == pytest.approx(max(behind))
    others = [0.2 * (0.1 / 0.7), 0.2 * (0.4 / 0.7) - 0.15]  # short, at costs of .4 and .7
    read = [0.25 / 0.3 * others[0], others[0] + 0.1 / 0.3 * (others[1] - others[0])]
    at_cost = [short[0] - read[0], short[1] - read[1]]
    assert named["three_behind_at_equal_cost"].value == pytest.approx(np.mean(at_cost))
    assert named["three_behind_at_equal_cost_worst"].value == pytest.approx(max(at_cost))
    mixed = [0.35 / 0.55 - 1, 0.5 / 0.775 - 1]
    assert named["three_over_random_mix"].value == pytest.approx(np.mean(mixed))
    assert named["three_over_mid"].value == pytest.approx(0.225 / 0.4 - 1)
    assert named["three_shortfall"].value == pytest.approx(0.0)
    assert named["three_category_mean_shortfall"].value == pytest.approx(-0.025)
    spent = [0.35 / 0.4 - 1, 0.5 / 0.7 - 1]
    assert named["three_cost_over_at_target"].value == pytest.approx(np.mean(spent))
    assert named["three_shadows"].value == pytest.approx(0.05)
    assert named["three_shadows"].n == 2


def test_the_best_tables_know_every_answer_but_not_which_query_it_is_of() -> None:
    kinds = np.array([0, 0, 1, 1])
    quality = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    cost = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    found = pool.best_tables(cost, quality, kinds)
    assert found.cost.tolist() == [0.0, 0.5]
    assert found.quality.tolist() == [0.5, 0.75]


def test_a_newcomer_that_is_good_at_something_saves_cost() -> None:
    found = arrival.run(made(2400), seed=2)
    assert found.shadows >= 20
    assert found.after < 700
    assert found.share > 0.15
    assert found.saved > 0
    assert found.error > -0.05


def test_categories_are_told_apart_once_every_tier_has_a_label() -> None:
    pairs = made(60)
    outcomes, kinds = Outcomes.of(pairs.rows), np.arange(60) % len(KINDS)
    unknown = pool._by_category(0.8, outcomes, kinds, TIERS, [])
    assert set(unknown.tolist()) == {2}
