"""A tier's head from a recording, all at once: ridge logistic regression over hashed features.

What River's online steps would approach after many passes, without the noise of their last ones.
The fit begins from a guess: what the text says of how well queries of the same category and with
like hints are answered. That is far less noisy than one answer's outcome, and what only the
recording knows is needed to train, never to predict. The penalty is chosen by the loss out of
fold. One call trains the head of one tier, local or cloud.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsqr

from controlplane.learn.packing import packed, packed_places
from dataplane.contract.rule import Array, expit, logit
from dataplane.features import BUCKETS, Features

FOLDS = 5
PENALTIES = (6.0, 3.0, 1.0)  # each fit begins where that of the stronger penalty ended
ITERATIONS = 40
GUESS_PENALTY = 1.0
GUESS_ITERATIONS = 60
PSEUDO = 20  # queries at the overall mean that every category is taken to have besides its own
EDGE = 0.02  # a category's mean is kept so far from 0 and 1
MET = 2  # a bucket that fewer queries have gets no weight

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
        known = np.flatnonzero(self.weights)
        return {
            "intercept": self.intercept,
            "buckets": packed_places(known.astype(np.uint16)),
            "weights": packed(self.weights[known].astype(np.float32)),
            "squares": packed(self.squares[known].astype(np.float32)),
            "steps": len(self.p_hat),
        }

    def predict(self, features: Sequence[Features]) -> Array:
        """p_hat (N,) of other queries."""
        return expit(self.intercept + np.asarray(_rows(features) @ self.weights))


@dataclass(frozen=True, slots=True, eq=False)
class _Hints:
    """The category of each query, 0 .. (N,), and standardised numbers (N, K)."""

    kinds: NDArray[np.intp]
    numbers: Array

    @classmethod
    def of(cls, count: int, categories: Sequence[str] | None, hints: Array | None) -> "_Hints":
        named = categories or [""] * count
        plain = np.zeros((count, 0)) if hints is None else hints
        middle, spread = plain.mean(axis=0), plain.std(axis=0)
        numbers = (plain - middle) / np.where(spread > 0, spread, 1)
        return cls(np.unique(named, return_inverse=True)[1], numbers)

    def at(self, kept: NDArray[np.bool_]) -> "_Hints":
        return _Hints(self.kinds[kept], self.numbers[kept])

    def log_odds(self, right: Array) -> Array:
        """Log-odds (N,) of a right answer by category and numbers."""
        counts, sums = np.bincount(self.kinds), np.bincount(self.kinds, weights=right)
        means = (sums + PSEUDO * _mean(right)) / (counts + PSEUDO)
        by_kind = logit(np.clip(means, EDGE, 1 - EDGE))[self.kinds]
        numbers = csr_matrix(self.numbers)
        theta = _descend(numbers, right, by_kind, 1.0, np.zeros(numbers.shape[1] + 1))
        return np.asarray(by_kind + theta[0] + numbers @ theta[1:])


@dataclass(frozen=True, slots=True, eq=False)
class _Labelled:
    """Queries (N, BUCKETS), what each answer was worth (N,), and what else is known of it."""

    x: Rows
    right: Array
    hints: _Hints

    def at(self, kept: NDArray[np.bool_]) -> "_Labelled":
        return _Labelled(self.x[kept], self.right[kept], self.hints.at(kept))


def train(
    features: Sequence[Features],
    right: Array,
    categories: Sequence[str] | None = None,
    hints: Array | None = None,
) -> Trained:
    """Fit to the worth of each query's answer, ``right`` (N,) in [0, 1].

    ``categories`` (N) of the queries, whether or not their features show them, and ``hints`` (N, K)
    at their difficulty (how long answers were, how other models fared) help where they are known.
    """
    labelled = _Labelled(_rows(features), right, _Hints.of(len(right), categories, hints))
    tried = _out_of_fold(labelled)
    best = int(np.argmin([_mean_loss(log_odds, right) for log_odds in tried]))
    intercept, weights = list(_fits(labelled, PENALTIES[: best + 1]))[-1]
    gradient = expit(intercept + np.asarray(labelled.x @ weights)) - right
    squares = np.asarray(labelled.x.multiply(labelled.x).T @ gradient**2)
    return Trained(intercept, weights, squares, expit(tried[best]))


def _rows(features: Sequence[Features]) -> Rows:
    sizes = [len(each.buckets) for each in features]
    columns = np.array([b for each in features for b in each.buckets], dtype=np.intp)
    values = np.repeat([each.weight for each in features], sizes)
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)])
    return csr_matrix((values, columns, ends), shape=(len(features), BUCKETS))


def _out_of_fold(labelled: _Labelled) -> Array:
    """Log-odds (PENALTIES, N) of each query by a fit to the other folds."""
    folds = np.random.default_rng(0).permutation(len(labelled.right)) % FOLDS
    log_odds = np.zeros((len(PENALTIES), len(folds)))
    for fold in range(FOLDS):
        held = folds == fold
        for place, (intercept, weights) in enumerate(_fits(labelled.at(~held), PENALTIES)):
            log_odds[place, held] = intercept + np.asarray(labelled.x[held] @ weights)
    return log_odds


def _fits(labelled: _Labelled, penalties: Sequence[float]) -> Iterator[tuple[float, Array]]:
    """The intercept, free, and the weights (BUCKETS,) under each ridge penalty in turn."""
    known = np.flatnonzero(np.bincount(labelled.x.indices, minlength=BUCKETS) >= MET)
    seen = labelled.x[:, known]
    start, guess = _guess(seen, labelled)
    begun = start + np.asarray(seen @ guess)
    theta = np.zeros(len(known) + 1)
    for penalty in penalties:
        theta = _descend(seen, labelled.right, begun, penalty, theta)
        weights = np.zeros(BUCKETS)
        weights[known] = guess + theta[1:]
        yield float(start + theta[0]), weights


def _descend(seen: Rows, right: Array, begun: Array, penalty: float, theta: Array) -> Array:
    """What is added to the log-odds ``begun`` (N,): intercept and weights, from ``theta`` on."""
    turned = seen.T.tocsr()

    def loss(theta: Array) -> tuple[float, Array]:
        weights = theta[1:]
        log_odds = begun + theta[0] + np.asarray(seen @ weights)
        away = expit(log_odds) - right
        value = float(np.sum(np.logaddexp(0, log_odds) - right * log_odds))
        gradient = np.concatenate([[away.sum()], turned @ away + penalty * weights])
        return value + penalty / 2 * float(weights @ weights), gradient

    found = minimize(
        loss, theta.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    )
    return np.asarray(found.x)


def _guess(seen: Rows, labelled: _Labelled) -> tuple[float, Array]:
    """Intercept and weights of a ridge regression on the log-odds that the hints give."""
    wanted = labelled.hints.log_odds(labelled.right)
    intercept = _mean(wanted)
    damp = GUESS_PENALTY**0.5
    weights = lsqr(seen, wanted - intercept, damp=damp, iter_lim=GUESS_ITERATIONS)[0]
    return intercept, np.asarray(weights)


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.5


def _mean_loss(log_odds: Array, right: Array) -> float:
    return _mean(np.logaddexp(0, log_odds) - right * log_odds)
