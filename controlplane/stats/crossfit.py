"""Predictions calibrated on the very labels that they are to correct, without seeing their own.

Queries are dealt into folds; each fold's predictions come from a logistic regression on the other
folds' labels. A query's prediction then does not depend on its own draw, so an estimate that uses
it stays unbiased (Chernozhukov and others, Econometrics Journal 21, 2018, section 3; Zrnic and
Candes, PNAS 121, 2024, for prediction-powered inference).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

FOLDS = 10
RIDGE = 1.0  # precision of each standardised slope's prior, in labels' worth of curvature
STEPS, CLOSE = 12, 1e-6


def cross_fitted(columns: Array, value: Array, probability: Array, folds: int = FOLDS) -> Array:
    """Predictions (N,) of all queries from ``columns`` (N, J), such as logit p_hat and a score.

    ``value`` (N,) in [0, 1] is NaN where no label came, ``probability`` (N,) the chance of a draw.
    Folds are dealt in turn, so each has its share of every time. Raises ``ValueError`` if a fold
    would have no label to learn from.

    >>> rng = np.random.default_rng(4)
    >>> score = rng.normal(size=2000)
    >>> right = (rng.uniform(size=2000) < expit(1 + score)).astype(float)
    >>> seen = np.where(rng.uniform(size=2000) < 0.2, right, np.nan)
    >>> predicted = cross_fitted(score[:, None], seen, np.full(2000, 0.2))
    >>> bool(np.mean((predicted - expit(1 + score)) ** 2) < 0.005)
    True
    """
    spread = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)
    x = np.column_stack([np.ones(len(value)), scaled])
    fold = np.arange(len(value)) % folds
    known = ~np.isnan(value)
    predicted = np.empty(len(value))
    for k in range(folds):
        learned = known & (fold != k)
        if not learned.any():
            raise ValueError(f"no label outside fold {k} to learn from")
        weight = 1 / probability[learned]
        fitted = _logistic(x[learned], value[learned], weight / weight.mean())
        predicted[fold == k] = expit(x[fold == k] @ fitted)
    return predicted


def _logistic(x: Array, y: Array, weight: Array) -> Array:
    """Coefficients of a weighted logistic regression with a ridge on all but the intercept."""
    precision = np.diag([0.01, *[RIDGE] * (x.shape[1] - 1)])
    fitted = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = expit(x @ fitted)
        slope = x.T @ (weight * (y - p)) - precision @ fitted
        curvature = (x.T * (weight * p * (1 - p))) @ x + precision
        step = np.linalg.solve(curvature, slope)
        size = float(np.abs(step).max())
        fitted = fitted + step / max(1.0, size)
        if size < CLOSE:
            break
    return fitted
