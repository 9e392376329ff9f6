"""Weighted logistic regression, a Gaussian belief in and a Gaussian belief out.

The one fit behind judge and cloud models. What comes out of one fit may go into the next as its
prior (Laplace's approximation), which is how a recording's lesson reaches a fresh learner.
"""

from dataclasses import dataclass

import numpy as np

from dataplane.contract.rule import Array, expit

ITERATIONS = 30
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """A belief about coefficients: ``mean`` (D,) and positive definite ``precision`` (D, D)."""

    mean: Array
    precision: Array

    @classmethod
    def independent(cls, mean: Array, precision: Array) -> "Normal":
        """Coefficients that say nothing of each other: ``mean`` and ``precision`` (D,)."""
        return cls(np.asarray(mean, dtype=np.float64), np.diag(precision))

    def weakened(self, share: float, floor: "Normal") -> "Normal":
        """The same mean, held with this share of what its precision is above ``floor``'s."""
        return Normal(self.mean, share * (self.precision - floor.precision) + floor.precision)

    def beside(self, precision: Array) -> "Normal":
        """These coefficients, and further ones around 0, independent, of ``precision`` (E,)."""
        count = len(self.mean)
        wide = np.diag(np.concatenate([np.zeros(count), precision]))
        wide[:count, :count] = self.precision
        return Normal(np.concatenate([self.mean, np.zeros(len(precision))]), wide)

    def first(self, count: int) -> "Normal":
        """What is believed of the first ``count`` coefficients, whatever the others are."""
        kept, shared = self.precision[:count, :count], self.precision[:count, count:]
        told = np.linalg.solve(self.precision[count:, count:], shared.T)
        return Normal(self.mean[:count], kept - shared @ told)


def fit(x: Array, y: Array, weight: Array, prior: Normal, offset: Array | float = 0.0) -> Normal:
    """The posterior of the coefficients (D,) around its mode.

    ``x``: (N, D) with its own column of ones; ``y``: (N,) in [0, 1]; ``weight``: (N,) >= 0;
    ``offset``: (N,) log-odds that are known. N may be 0. Newton's method with step halving,
    deterministic.
    """
    theta = prior.mean.copy()
    loss = _loss(theta, x, y, weight, prior, offset)
    for _ in range(ITERATIONS):
        p = expit(offset + x @ theta)
        gradient = x.T @ (weight * (p - y)) + prior.precision @ (theta - prior.mean)
        step = np.linalg.solve(_curvature(x, p, weight, prior), gradient)
        scale = 1.0
        while _loss(theta - scale * step, x, y, weight, prior, offset) > loss and scale > 1e-6:
            scale /= 2
        theta = theta - scale * step
        loss = _loss(theta, x, y, weight, prior, offset)
        if float(np.abs(scale * step).max()) < TOLERANCE:
            break
    return Normal(theta, _curvature(x, expit(offset + x @ theta), weight, prior))


def _curvature(x: Array, p: Array, weight: Array, prior: Normal) -> Array:
    return np.asarray((x * (weight * p * (1 - p))[:, None]).T @ x + prior.precision)


def _loss(
    theta: Array, x: Array, y: Array, weight: Array, prior: Normal, offset: Array | float
) -> float:
    margin = offset + x @ theta
    likelihood = weight @ (np.logaddexp(0, margin) - y * margin)
    away = theta - prior.mean
    return float(likelihood + 0.5 * away @ prior.precision @ away)
