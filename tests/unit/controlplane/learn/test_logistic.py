import numpy as np
import pytest

from controlplane.learn import logistic
from dataplane.contract.rule import expit

NONE = np.zeros(2)
LOOSE = np.full(2, 1e-6)


def test_it_finds_the_coefficients_that_made_the_data() -> None:
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(20_000), rng.normal(size=20_000)])
    y = (rng.random(20_000) < expit(x @ np.array([0.5, -1.2]))).astype(float)
    theta = logistic.fit(x, y, np.ones(20_000), NONE, LOOSE)
    assert theta == pytest.approx([0.5, -1.2], abs=0.06)


def test_without_data_it_is_the_prior() -> None:
    prior = np.array([0.3, 2.0])
    theta = logistic.fit(np.empty((0, 2)), np.empty(0), np.empty(0), prior, np.ones(2))
    assert theta == pytest.approx(prior)


def test_separable_data_stay_finite() -> None:
    x = np.column_stack([np.ones(4), np.array([-2.0, -1.0, 1.0, 2.0])])
    y = np.array([0.0, 0.0, 1.0, 1.0])
    theta = logistic.fit(x, y, np.full(4, 100.0), NONE, np.full(2, 0.1))
    assert np.isfinite(theta).all()
    assert theta[1] > 1


def test_a_weight_of_two_is_an_observation_twice() -> None:
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(30), rng.normal(size=30)])
    y = (rng.random(30) < 0.4).astype(float)
    once = logistic.fit(np.vstack([x, x]), np.tile(y, 2), np.ones(60), NONE, np.ones(2))
    twice = logistic.fit(x, y, np.full(30, 2.0), NONE, np.ones(2))
    assert once == pytest.approx(twice)
