import numpy as np
import pytest

from controlplane.learn import logistic
from controlplane.learn.logistic import Normal
from dataplane.contract.rule import Array, expit


def believing(precision: float) -> Normal:
    return Normal.independent(np.zeros(2), np.full(2, precision))


def data(count: int, seed: int = 1) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(count), rng.normal(size=count)])
    return x, (rng.random(count) < expit(x @ np.array([0.5, -1.2]))).astype(float)


def test_it_finds_the_coefficients_that_made_the_data() -> None:
    x, y = data(20_000)
    found = logistic.fit(x, y, np.ones(20_000), believing(1e-6))
    assert found.mean == pytest.approx([0.5, -1.2], abs=0.06)


def test_how_sure_it_is_says_how_far_it_errs() -> None:
    """Laplace: over many samples, errors have the covariance that each fit claims."""
    away = []
    for seed in range(300):
        x, y = data(400, seed)
        found = logistic.fit(x, y, np.ones(400), believing(1e-6))
        error = found.mean - np.array([0.5, -1.2])
        away.append(float(error @ found.precision @ error))
    assert np.mean(away) == pytest.approx(2, abs=0.35)  # chi-squared of two degrees of freedom


def test_without_data_it_is_the_prior() -> None:
    prior = Normal.independent(np.array([0.3, 2.0]), np.array([1.0, 4.0]))
    found = logistic.fit(np.empty((0, 2)), np.empty(0), np.empty(0), prior)
    assert found.mean == pytest.approx(prior.mean)
    assert found.precision == pytest.approx(prior.precision)


def test_separable_data_stay_finite() -> None:
    x = np.column_stack([np.ones(4), np.array([-2.0, -1.0, 1.0, 2.0])])
    y = np.array([0.0, 0.0, 1.0, 1.0])
    found = logistic.fit(x, y, np.full(4, 100.0), believing(0.1))
    assert np.isfinite(found.mean).all()
    assert found.mean[1] > 1


def test_a_weight_of_two_is_an_observation_twice() -> None:
    x, y = data(30)
    once = logistic.fit(np.vstack([x, x]), np.tile(y, 2), np.ones(60), believing(1.0))
    twice = logistic.fit(x, y, np.full(30, 2.0), believing(1.0))
    assert once.mean == pytest.approx(twice.mean)
    assert once.precision == pytest.approx(twice.precision)


def test_a_known_offset_is_left_out_of_the_intercept() -> None:
    x, y = data(5000)
    plain = logistic.fit(x, y, np.ones(5000), believing(1e-6))
    offset = logistic.fit(x, y, np.ones(5000), believing(1e-6), np.full(5000, 0.4))
    assert offset.mean == pytest.approx(plain.mean - np.array([0.4, 0.0]), abs=1e-5)


def test_two_halves_one_after_the_other_teach_about_what_the_whole_does() -> None:
    x, y = data(2000)
    whole = logistic.fit(x, y, np.ones(2000), believing(0.1))
    first = logistic.fit(x[:1000], y[:1000], np.ones(1000), believing(0.1))
    both = logistic.fit(x[1000:], y[1000:], np.ones(1000), first)
    assert both.mean == pytest.approx(whole.mean, abs=0.02)
    assert both.precision == pytest.approx(whole.precision, rel=0.05)


def test_weakened_it_is_as_easily_moved_as_its_floor() -> None:
    floor = believing(0.5)
    sure = Normal.independent(np.array([3.0, 1.0]), np.full(2, 100.0))
    assert sure.weakened(0.0, floor).precision == pytest.approx(floor.precision)
    assert sure.weakened(0.1, floor).precision == pytest.approx(np.diag([10.45, 10.45]))
    assert sure.weakened(1.0, floor).precision == pytest.approx(sure.precision)


def test_what_stands_beside_is_independent_until_data_tie_it() -> None:
    prior = Normal.independent(np.array([0.3, 2.0]), np.array([1.0, 4.0]))
    wide = prior.beside(np.array([2.0, 2.0]))
    assert wide.mean.tolist() == [0.3, 2.0, 0.0, 0.0]
    assert wide.first(2).precision == pytest.approx(prior.precision)
    told = np.diag([1.0, 4.0, 2.0, 2.0]) + 0.5
    inverse = np.linalg.inv(told)[:2, :2]
    assert np.linalg.inv(Normal(wide.mean, told).first(2).precision) == pytest.approx(inverse)
    assert prior.beside(np.empty(0)).first(2).precision == pytest.approx(prior.precision)
