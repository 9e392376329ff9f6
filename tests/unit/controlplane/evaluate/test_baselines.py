import itertools

import numpy as np
import pytest

from controlplane.evaluate.baselines import Outcomes, category_mean, oracle, random_mix


def outcomes(seed: int, count: int, tiers: int = 2, *, graded: bool = False) -> Outcomes:
    """The dearer a tier, the better."""
    rng = np.random.default_rng(seed)
    worth = rng.random((count, tiers))
    if not graded:
        worth = (worth < np.linspace(0.5, 0.8, tiers)).astype(float)
    usd = [rng.uniform(0.1, 0.3, count)] + [rng.uniform(0.2, 2.0, count) for _ in range(tiers - 1)]
    return Outcomes(worth, np.column_stack(usd))


def cheapest(recorded: Outcomes, target: float) -> float:
    """By trying every assignment."""
    count, tiers = recorded.quality.shape
    served = [
        recorded.served(np.array(taken)) for taken in itertools.product(range(tiers), repeat=count)
    ]
    enough = [each for each in served if each.quality.mean() >= target - 1e-12]
    return min(float(each.cost_usd.sum()) for each in enough)


@pytest.mark.parametrize(("count", "tiers"), [(10, 2), (6, 3), (4, 5)])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("target", [0.0, 0.6, 0.8])
def test_no_assignment_that_reaches_the_target_is_cheaper(
    seed: int, target: float, count: int, tiers: int
) -> None:
    recorded = outcomes(seed, count, tiers)
    reachable = min(target, float(recorded.quality.max(axis=1).mean()))
    found = oracle(recorded, reachable)
    assert found.quality.mean() >= reachable - 1e-12
    assert found.cost_usd.sum() == pytest.approx(cheapest(recorded, reachable))


@pytest.mark.parametrize(("count", "tiers"), [(10, 2), (6, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_with_graded_outcomes_it_is_within_a_query_of_the_cheapest(
    seed: int, count: int, tiers: int
) -> None:
    recorded = outcomes(seed, count, tiers, graded=True)
    target = 0.9 * float(recorded.quality.max(axis=1).mean())
    found = oracle(recorded, target)
    assert found.quality.mean() >= target
    assert found.cost_usd.sum() <= cheapest(recorded, target) + recorded.cost_usd.max()


@pytest.mark.parametrize("tiers", [2, 5])
def test_out_of_reach_it_is_the_best_there_is(tiers: int) -> None:
    recorded = outcomes(0, 50, tiers)
    assert oracle(recorded, 1.0).quality.tolist() == recorded.quality.max(axis=1).tolist()


@pytest.mark.parametrize("tiers", [2, 4])
def test_a_random_mix_reaches_the_target_on_average(tiers: int) -> None:
    recorded = outcomes(1, 400, tiers)
    means = recorded.quality.mean(axis=0)
    assert random_mix(recorded, 0.7).quality.mean() == pytest.approx(0.7)
    assert random_mix(recorded, 0.0).quality.mean() == pytest.approx(means[0])
    assert random_mix(recorded, 1.0).quality.mean() == pytest.approx(means.max())


def test_a_random_mix_has_no_use_for_a_worse_cloud() -> None:
    recorded = outcomes(1, 400)
    swapped = Outcomes(recorded.quality[:, ::-1], recorded.cost_usd[:, ::-1])
    assert random_mix(swapped, 0.9).cost_usd.tolist() == swapped.always(0).cost_usd.tolist()


def test_a_random_mix_is_of_neighbours_on_the_hull() -> None:
    """The second tier is above the line from the first to the last, the third below."""
    quality = np.tile([0.5, 0.8, 0.82, 0.9], (10, 1))
    recorded = Outcomes(quality, np.tile([0.0, 0.2, 0.9, 1.0], (10, 1)))
    assert random_mix(recorded, 0.65).cost_usd.mean() == pytest.approx(0.1)
    assert random_mix(recorded, 0.85).cost_usd.mean() == pytest.approx(0.6)


def test_each_category_has_the_tier_that_its_means_tell() -> None:
    worth = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    kinds = np.repeat([0, 1, 2], 20)
    recorded = Outcomes(worth[kinds], np.tile([0.1, 0.5, 2.0], (60, 1)))
    found = category_mean(recorded, kinds, 1.0)
    assert found.cost_usd.tolist() == np.array([0.1, 0.5, 2.0])[kinds].tolist()
    assert category_mean(recorded, kinds, 0.6).quality.mean() == pytest.approx(2 / 3)
