"""Weighted logistic regression with a Gaussian prior: the one fit behind judge and cloud models."""

import numpy as np

from dataplane.contract.rule import Array, expit

ITERATIONS = 30
TOLERANCE = 1e-9


def fit(x: Array, y: Array, weight: Array, prior: Array, precision: Array) -> Array:
    """The maximum a posteriori coefficients (D,).

    ``x``: (N, D) with its own column of ones; ``y``: (N,) in [0, 1]; ``weight``: (N,) >= 0;
    ``prior`` and ``precision``: (D,) of the Gaussian prior (precision > 0, so the answer is
    unique and N may be 0). Newton's method with step halving, deterministic.
    """
    theta = np.array(prior, dtype=np.float64)
    loss = _loss(theta, x, y, weight, prior, precision)
    for _ in range(ITERATIONS):
        p = expit(x @ theta)
        gradient = x.T @ (weight * (p - y)) + precision * (theta - prior)
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        scale = 1.0
        while _loss(theta - scale * step, x, y, weight, prior, precision) > loss and scale > 1e-6:
            scale /= 2
        theta = theta - scale * step
        loss = _loss(theta, x, y, weight, prior, precision)
        if float(np.abs(scale * step).max()) < TOLERANCE:
            break
    return theta


def _loss(theta: Array, x: Array, y: Array, weight: Array, prior: Array, precision: Array) -> float:
    margin = x @ theta
    likelihood = weight @ (np.logaddexp(0, margin) - y * margin)
    return float(likelihood + 0.5 * precision @ (theta - prior) ** 2)
