"""The search against every set there is, its expectations against closed forms and Monte Carlo."""

from collections.abc import Collection
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.contract import supermodel
from dataplane.contract.rule import Array
from dataplane.contract.supermodel import Estimates, choose, draws, expected_maximum, search

LAMBDAS = (0.0, 0.02, 0.1, 0.3, 1.0, 4.0)
ERROR = 0.03  # of an expected maximum, in the greatest standard deviation
seeds = st.integers(0, 2**31)
lambdas = st.one_of(st.floats(0.0, 0.2), st.floats(0.0, 2.0))
few = settings(max_examples=30)


def estimated(models: int, seed: int, dearer_is_better: bool = True) -> tuple[Estimates, Array]:
    """Estimates of models with errors of any rank, and their costs."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(models, int(rng.integers(1, models + 1))))
    covariance = loadings @ loadings.T
    scale = rng.uniform(0.02, 0.35, models) / np.sqrt(np.diag(covariance))
    mean, costs = rng.uniform(0.3, 0.95, models), rng.exponential(0.4, models)
    if dearer_is_better:
        mean, costs = np.sort(mean), np.sort(costs)
    return Estimates(mean, covariance * np.outer(scale, scale)), costs


def some(models: int, seed: int) -> list[int]:
    """Models already called, none of them among others."""
    return [each for each in range(models) if np.random.default_rng(seed + each).random() < 0.3]


def part(estimates: Estimates, members: Collection[int]) -> Estimates:
    kept = sorted(members)
    return Estimates(estimates.mean[kept], estimates.covariance[np.ix_(kept, kept)])


def spread(estimates: Estimates) -> float:
    return float(np.sqrt(np.diag(estimates.covariance).max()))


# -- the expected maximum -------------------------------------------------------------------------


def test_of_alike_models_it_is_what_order_statistics_say() -> None:
    for models, expected in ((1, 0.0), (2, np.pi**-0.5), (3, 1.5 * np.pi**-0.5)):
        alike = Estimates(np.zeros(models), np.eye(models))
        assert expected_maximum(alike) == pytest.approx(expected, abs=1e-3)


def test_of_two_models_it_is_exact() -> None:
    pair = Estimates(np.array([0.4, 0.7]), np.array([[0.09, 0.02], [0.02, 0.04]]))
    grid = np.linspace(-12, 12, 200_001)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    gained = (np.maximum(0, -0.3 + 0.3 * grid) * density).sum() * (grid[1] - grid[0])
    assert expected_maximum(pair) == pytest.approx(0.7 + gained, abs=1e-8)


@given(st.floats(0, 1), st.floats(0, 1))
def test_of_two_models_that_are_certain_it_is_the_better(first: float, second: float) -> None:
    certain = Estimates(np.array([first, second]), np.zeros((2, 2)))
    assert expected_maximum(certain) == max(first, second)


@pytest.mark.parametrize("models", [3, 4, 5, 7, 9, 11])
def test_of_more_models_it_is_near_a_large_monte_carlo(models: int) -> None:
    for seed in range(4):
        estimates, _ = estimated(models, 100 * models + seed)
        rng = np.random.default_rng(seed)
        sampled = rng.multivariate_normal(
            estimates.mean, estimates.covariance, 200_000, method="eigh"
        )
        best = sampled.max(axis=1)
        error = abs(expected_maximum(estimates) - best.mean())
        assert error < 0.02 * spread(estimates) + 4 * best.std() / np.sqrt(len(best))


@given(st.integers(2, 12), seeds)
def test_the_points_of_any_pair_are_near_its_exact_maximum(models: int, seed: int) -> None:
    estimates, _ = estimated(models, seed)
    pair = [0, models - 1]
    by_points = draws(estimates)[pair].max(axis=0).mean()
    two = part(estimates, pair)
    assert by_points == pytest.approx(expected_maximum(two), abs=ERROR * spread(two))


@given(st.integers(1, 12), seeds)
def test_the_points_have_the_mean_and_covariance_of_the_estimates(models: int, seed: int) -> None:
    estimates, _ = estimated(models, seed)
    drawn = draws(estimates)
    np.testing.assert_allclose(drawn.mean(axis=1), estimates.mean, atol=1e-9)
    np.testing.assert_allclose(np.cov(drawn, bias=True), estimates.covariance.squeeze(), atol=1e-9)


# -- the search -----------------------------------------------------------------------------------


def every_set(models: int, called: Collection[int]) -> list[tuple[int, ...]]:
    """All sets that hold what was called, but for the empty one."""
    rest = [each for each in range(models) if each not in called]
    sizes = range(0 if called else 1, len(rest) + 1)
    return [(*called, *more) for size in sizes for more in combinations(rest, size)]


@few
@given(st.integers(1, 7), seeds, lambdas, st.booleans())
def test_no_set_is_worth_more(models: int, seed: int, lambda_: float, sorted_: bool) -> None:
    (estimates, costs), called = estimated(models, seed, sorted_), some(models, seed)
    drawn, found = draws(estimates), search(estimates, costs, lambda_, called)

    def value(members: Collection[int]) -> float:
        paid = sum(costs[each] for each in members if each not in called)
        return float(drawn[list(members)].max(axis=0).mean() - lambda_ * paid)

    assert set(called) <= set(found.members)
    assert found.value(lambda_) == pytest.approx(value(found.members), abs=1e-9)
    best = max(value(members) for members in every_set(models, called))
    assert found.value(lambda_) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("models", [3, 4, 5])
def test_by_a_large_monte_carlo_no_set_is_worth_much_more(models: int) -> None:
    for seed in range(4):
        estimates, costs = estimated(models, seed)
        sampled = np.random.default_rng(seed).multivariate_normal(
            estimates.mean, estimates.covariance, 50_000, method="eigh"
        )
        worth = {
            members: sampled[:, list(members)].max(axis=1).mean() - 0.1 * costs[list(members)].sum()
            for members in every_set(models, [])
        }
        found = search(estimates, costs, 0.1).members
        assert worth[found] > max(worth.values()) - ERROR * spread(estimates)


@given(st.integers(1, 8), seeds)
def test_value_cost_and_quality_fall_as_lambda_rises(models: int, seed: int) -> None:
    (estimates, costs), called = estimated(models, seed), some(models, seed)
    found = [search(estimates, costs, lambda_, called) for lambda_ in LAMBDAS]
    values = [each.value(lambda_) for each, lambda_ in zip(found, LAMBDAS, strict=True)]
    for falling in (values, [each.cost for each in found], [each.quality for each in found]):
        assert (np.diff(falling) <= 1e-9).all()


@given(st.integers(1, 7), seeds, lambdas, st.floats(0, 1))
def test_no_price_rise_is_a_gain(models: int, seed: int, lambda_: float, rise: float) -> None:
    estimates, costs = estimated(models, seed)
    before = search(estimates, costs, lambda_).value(lambda_)
    for each in np.eye(models) * rise:
        assert search(estimates, costs + each, lambda_).value(lambda_) <= before + 1e-9


@given(st.integers(2, 7), seeds, lambdas)
def test_what_was_called_is_paid_for_already(models: int, seed: int, lambda_: float) -> None:
    estimates, costs = estimated(models, seed)
    dearer = costs + np.eye(models)[0] * 5
    assert search(estimates, costs, lambda_, [0]) == search(estimates, dearer, lambda_, [0])


@given(st.integers(1, 6), seeds, lambdas)
def test_a_dominated_model_changes_nothing(models: int, seed: int, lambda_: float) -> None:
    estimates, costs = estimated(models, seed)
    copied = [*range(models), models - 1]  # the last once more: dearer, and a little worse
    shifted = estimates.mean[copied] - np.append(np.zeros(models), 0.01)
    more = Estimates(shifted, estimates.covariance[np.ix_(copied, copied)])
    found = search(more, np.append(costs, costs[-1] + 0.1), lambda_)
    assert models not in found.members
    without = search(estimates, costs, lambda_).value(lambda_)
    assert found.value(lambda_) == pytest.approx(without, abs=2 * ERROR * spread(estimates))


@pytest.mark.parametrize("called", [[], [0]])
@pytest.mark.parametrize(("lambda_", "joins"), [(0.0999, True), (0.1, False), (0.1001, False)])
def test_a_model_joins_iff_it_gains_more_than_its_price(
    called: list[int], lambda_: float, joins: bool
) -> None:
    certain = Estimates(np.array([0.5, 0.6]), np.zeros((2, 2)))
    found = search(certain, np.array([0.0, 1.0]), lambda_, called)
    assert (1 in found.members) == joins


def test_of_two_alike_the_cheaper_is_called() -> None:
    alike = Estimates(np.array([0.5, 0.5]), np.full((2, 2), 0.04))
    for lambda_ in (0.0, 0.5):
        assert search(alike, np.array([0.3, 0.2]), lambda_).members == (1,)


# -- the moves ------------------------------------------------------------------------------------


@given(st.integers(1, 8), seeds, lambdas)
def test_with_nothing_uncertain_it_routes_to_the_best_model(
    models: int, seed: int, lambda_: float
) -> None:
    estimates, costs = estimated(models, seed, dearer_is_better=False)
    certain = replace(estimates, covariance=np.zeros((models, models)))
    move = choose(certain, costs, lambda_)
    assert move.call == int(np.argmax(estimates.mean - lambda_ * costs))
    assert move.aim.members == (move.call,)
    done = choose(certain, costs, lambda_, [move.call])
    assert (done.call, done.reply) == (None, move.call)


@given(st.integers(2, 8), seeds, lambdas)
def test_it_calls_the_cheapest_of_its_aim_until_all_were(
    models: int, seed: int, lambda_: float
) -> None:
    estimates, costs = estimated(models, seed, dearer_is_better=False)
    called: list[int] = []
    while (move := choose(estimates, costs, lambda_, called)).call is not None:
        assert move.reply is None
        left = [each for each in move.aim.members if each not in called]
        assert costs[move.call] == min(costs[left])
        called.append(move.call)
        assert len(called) <= models
    assert move.aim.members == tuple(sorted(called))
    assert move.reply == max(called, key=lambda each: estimates.mean[each])


def test_a_good_answer_ends_what_a_bad_one_goes_on_with() -> None:
    unsure = Estimates(np.array([0.6, 0.8]), np.array([[0.1, 0.03], [0.03, 0.05]]))
    costs = np.array([0.02, 1.0])
    assert choose(unsure, costs, 0.2).call == 0
    good, bad = unsure.after(0, 0.95, 0.0), unsure.after(0, 0.2, 0.0)
    assert choose(good, costs, 0.2, [0]).reply == 0
    assert choose(bad, costs, 0.2, [0]).call == 1


# -- what an answer teaches -----------------------------------------------------------------------


@given(st.integers(2, 6), seeds, st.floats(0, 1), st.floats(1e-4, 1))
def test_a_measurement_teaches_of_every_model(
    models: int, seed: int, measured: float, variance: float
) -> None:
    estimates, _ = estimated(models, seed)
    after = estimates.after(0, measured, variance)
    known = estimates.after(0, measured, 0.0)
    assert known.mean[0] == pytest.approx(measured)
    np.testing.assert_allclose(known.covariance[0], 0.0, atol=1e-9)
    assert (np.diag(after.covariance) <= np.diag(estimates.covariance) + 1e-12).all()
    one, other = (
        estimates.after(*first, variance).after(*second, variance)
        for first, second in (((0, measured), (1, 0.5)), ((1, 0.5), (0, measured)))
    )  # the order of measurements does not matter
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-9)
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-9)


def test_of_what_is_certain_nothing_is_learned() -> None:
    certain = Estimates(np.array([0.5, 0.6]), np.zeros((2, 2)))
    assert certain.after(0, 0.9, 0.0) is certain


@pytest.mark.parametrize("models", [0, supermodel.MODELS + 1])
def test_too_few_and_too_many_are_refused(models: int) -> None:
    with pytest.raises(ValueError, match="models"):
        search(Estimates(np.zeros(models), np.eye(models)), np.ones(models), 0.1)
