"""p_hat from a recording, all at once: ridge logistic regression over the hashed features.

What River's online steps would approach after many passes, without the noise of their last ones.
The penalty is chosen by the loss out of fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from controlplane.learn.packing import packed
from dataplane.contract.rule import Array, expit
from dataplane.features import BUCKETS, Features

FOLDS = 5
PENALTIES = (0.3, 1.0, 3.0)
ITERATIONS = 60

Rows: TypeAlias = "csr_matrix[np.float64]"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """``weights`` (BUCKETS,) and ``intercept``; ``p_hat`` (N,) of each query by the others' folds.

    ``squares`` (BUCKETS,): the summed squared gradients, with which AdaGrad goes on from here.
    """

    intercept: float
    weights: Array
    squares: Array
    p_hat: Array

    def state(self) -> dict[str, Any]:
        """As ``QualityPredictor.restore`` takes it."""
        known = np.flatnonzero(self.squares)
        return {
            "intercept": self.intercept,
            "buckets": packed(known.astype(np.uint16)),
            "weights": packed(self.weights[known].astype(np.float32)),
            "squares": packed(self.squares[known].astype(np.float32)),
            "steps": len(self.p_hat),
        }


def train(features: Sequence[Features], right: Array) -> Trained:
    """Fit to the worth of each query's answer, ``right`` (N,) in [0, 1]."""
    x = _rows(features)
    folds = np.random.default_rng(0).permutation(len(features)) % FOLDS
    tried = [_out_of_fold(x, right, folds, penalty) for penalty in PENALTIES]
    best = int(np.argmin([_mean_loss(log_odds, right) for log_odds in tried]))
    intercept, weights = _fit(x, right, PENALTIES[best])
    gradient = expit(intercept + np.asarray(x @ weights)) - right
    squares = np.asarray(x.multiply(x).T @ gradient**2)
    return Trained(intercept, weights, squares, expit(tried[best]))


def _rows(features: Sequence[Features]) -> Rows:
    sizes = [len(each.buckets) for each in features]
    columns = np.array([b for each in features for b in each.buckets], dtype=np.intp)
    values = np.repeat([each.weight for each in features], sizes)
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)])
    return csr_matrix((values, columns, ends), shape=(len(features), BUCKETS))


def _out_of_fold(x: Rows, right: Array, folds: NDArray[np.intp], penalty: float) -> Array:
    """Log-odds (N,) of each query by a fit to the other folds."""
    log_odds = np.zeros(len(right))
    for fold in range(FOLDS):
        held = folds == fold
        intercept, weights = _fit(x[~held], right[~held], penalty)
        log_odds[held] = intercept + np.asarray(x[held] @ weights)
    return log_odds


def _fit(x: Rows, right: Array, penalty: float) -> tuple[float, Array]:
    """The intercept, free, and the weights (BUCKETS,) under a ridge ``penalty``."""
    known = np.unique(x.indices)
    seen = x[:, known]
    turned = seen.T.tocsr()

    def loss(theta: Array) -> tuple[float, Array]:
        weights = theta[1:]
        log_odds = theta[0] + np.asarray(seen @ weights)
        away = expit(log_odds) - right
        value = float(np.sum(np.logaddexp(0, log_odds) - right * log_odds))
        gradient = np.concatenate([[away.sum()], turned @ away + penalty * weights])
        return value + penalty / 2 * float(weights @ weights), gradient

    start = np.zeros(len(known) + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    weights = np.zeros(BUCKETS)
    weights[known] = found.x[1:]
    return float(found.x[0]), weights


def _mean_loss(log_odds: Array, right: Array) -> float:
    return float(np.mean(np.logaddexp(0, log_odds) - right * log_odds)) if len(right) else 0.0
