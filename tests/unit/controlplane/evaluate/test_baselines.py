import itertools

import numpy as np
import pytest

from controlplane.evaluate.baselines import Assignment, Outcomes, oracle, random_mix


def outcomes(seed: int, count: int, *, graded: bool = False) -> Outcomes:
    rng = np.random.default_rng(seed)
    local, cloud = rng.random((2, count))
    if not graded:
        local, cloud = (local < 0.5).astype(float), (cloud < 0.8).astype(float)
    return Outcomes(
        Assignment(local, rng.uniform(0.1, 0.3, count)),
        Assignment(cloud, rng.uniform(0.2, 2.0, count)),
    )


def cheapest(recorded: Outcomes, target: float) -> float:
    """By trying every assignment."""
    costs = []
    for taken in itertools.product((0.0, 1.0), repeat=len(recorded.local.quality)):
        mixed = recorded.mixed(np.array(taken))
        if mixed.quality.mean() >= target - 1e-12:
            costs.append(float(mixed.cost_usd.sum()))
    return min(costs)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("target", [0.0, 0.6, 0.8])
def test_no_assignment_that_reaches_the_target_is_cheaper(seed: int, target: float) -> None:
    recorded = outcomes(seed, 10)
    reachable = min(
        target, float(np.maximum(recorded.local.quality, recorded.cloud.quality).mean())
    )
    found = oracle(recorded, reachable)
    assert found.quality.mean() >= reachable - 1e-12
    assert found.cost_usd.sum() == pytest.approx(cheapest(recorded, reachable))


@pytest.mark.parametrize("seed", range(4))
def test_with_graded_outcomes_it_is_within_a_query_of_the_cheapest(seed: int) -> None:
    recorded = outcomes(seed, 10, graded=True)
    best = np.maximum(recorded.local.quality, recorded.cloud.quality).mean()
    found = oracle(recorded, 0.9 * best)
    assert found.quality.mean() >= 0.9 * best
    assert found.cost_usd.sum() <= cheapest(recorded, 0.9 * best) + recorded.cloud.cost_usd.max()


def test_out_of_reach_it_is_the_best_there_is() -> None:
    recorded = outcomes(0, 50)
    best = np.maximum(recorded.local.quality, recorded.cloud.quality)
    assert oracle(recorded, 1.0).quality.tolist() == best.tolist()


def test_a_random_mix_reaches_the_target_on_average() -> None:
    recorded = outcomes(1, 400)
    local, cloud = recorded.local.quality.mean(), recorded.cloud.quality.mean()
    assert random_mix(recorded, 0.7).quality.mean() == pytest.approx(0.7)
    assert random_mix(recorded, 0.0).quality.mean() == pytest.approx(local)
    assert random_mix(recorded, 1.0).quality.mean() == pytest.approx(cloud)


def test_a_random_mix_has_no_use_for_a_worse_cloud() -> None:
    recorded = outcomes(1, 400)
    swapped = Outcomes(recorded.cloud, recorded.local)
    assert random_mix(swapped, 0.9).cost_usd.tolist() == swapped.local.cost_usd.tolist()
