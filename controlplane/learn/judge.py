"""The judge's likelihood by exponential tilt, from few labels and many unlabelled scores.

``logit P(local right | x, k) = a + s logit p_hat(x) + beta z_k`` is fitted on labelled scores with
a prior; the bins' marginals come from all judged traffic; alpha then splits the marginals into
f1 and f0 = f1 / exp(alpha + beta z) so that both sum to one (METHODS section 2, point 1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from controlplane.learn import logistic
from controlplane.learn.evidence import Labels
from controlplane.learn.traffic import Columns
from dataplane.contract.rule import Array, expit, logit
from dataplane.contract.terms import JudgeTable, Platt

PRIOR = np.array([0.0, 1.0, 1.0])
PRECISION = np.array([0.5, 4.0, 1.0])
SCORES_PER_BIN = 6
MAX_BINS = 20
LEAST_SLOPE = 0.05  # a policy's calibration must rise with p_hat
SMOOTHING = 0.5  # counts added to each bin


@dataclass(frozen=True, slots=True)
class Bins:
    """Frozen bins of a judge's raw scores: ``edges`` (K - 1), ``raw`` and ``z`` (K)."""

    edges: Array
    raw: Array
    z: Array

    def of(self, score: Array) -> NDArray[np.intp]:
        """The bin of each score."""
        return np.searchsorted(self.edges, score, side="right")


def bins(scores: Array) -> Bins | None:
    """Quantile bins of the scores (N,), a bin a value where they take few; None if too few.

    A judge that says only yes or no thus has two bins, however rare either answer is.
    """
    count = min(MAX_BINS, len(scores) // SCORES_PER_BIN)
    values = np.unique(scores)
    if count < 2 or len(values) < 2:
        return None
    ordered = np.sort(scores)
    edges = _between(values) if len(values) <= count else _quantiles(ordered, count)
    where = np.searchsorted(edges, ordered, side="right")
    held = [ordered[where == k] for k in range(len(edges) + 1)]
    ranks = np.cumsum([0, *(len(group) for group in held)])
    middle = (ranks[:-1] + ranks[1:]) / 2 / len(ordered)
    return Bins(edges, np.array([np.median(group) for group in held]), norm.ppf(middle))


def _between(values: Array) -> Array:
    return np.asarray((values[1:] + values[:-1]) / 2)


def _quantiles(ordered: Array, count: int) -> Array:
    """At most ``count - 1`` edges, at least one: the lowest value may hold nearly all scores."""
    at = np.arange(1, count) / count
    edges = np.unique(np.quantile(ordered, at, method="higher"))  # scores: so no bin is empty
    edges = edges[(edges > ordered[0]) & (edges <= ordered[-1])]
    return np.asarray(edges if len(edges) else ordered[ordered > ordered[0]][:1])


def unjudged(table: JudgeTable) -> Bins:
    """The bins of a table as they stand, for traffic that no judge scores."""
    return Bins(table.bins.edges, table.bins.raw, table.bins.z)


@dataclass(frozen=True, slots=True)
class Tilt:
    """A fitted judge: how p_hat is calibrated, and the table of its bins."""

    calibration: Platt
    f1: Array
    f0: Array
    support: float


def fit(parted: Bins, labels: Labels, judged: Columns) -> Tilt:
    """Fit calibration and likelihoods to labels and to all judged answers.

    ``support`` is the effective number of labelled scores. Without any score, p_hat is calibrated
    on the labels alone, ``support`` counts those, and the table says nothing.
    """
    if not len(judged.score):
        return _without_scores(parted, labels)
    known = ~np.isnan(labels.local) & ~np.isnan(labels.score)
    z = parted.z[parted.of(labels.score[known])]
    x = np.column_stack([np.ones_like(z), logit(labels.p_hat[known]), z])
    weight = labels.weight[known]
    a, s, beta = logistic.fit(x, labels.local[known], weight, PRIOR, PRECISION)
    s = max(s, LEAST_SLOPE)
    alpha, f1, f0 = _split(parted, judged.score, a + s * logit(judged.p_hat), beta)
    return Tilt(Platt(intercept=a - alpha, slope=s), f1, f0, effective(weight))


def _without_scores(parted: Bins, labels: Labels) -> Tilt:
    known = ~np.isnan(labels.local)
    x = np.column_stack([np.ones(known.sum()), logit(labels.p_hat[known])])
    weight = labels.weight[known]
    a, s = logistic.fit(x, labels.local[known], weight, PRIOR[:2], PRECISION[:2])
    even = np.full(len(parted.z), 1 / len(parted.z))
    return Tilt(Platt(intercept=a, slope=max(s, LEAST_SLOPE)), even, even, effective(weight))


def _split(parted: Bins, scores: Array, log_odds: Array, beta: float) -> tuple[float, Array, Array]:
    counts = np.bincount(parted.of(scores), minlength=len(parted.z)) + SMOOTHING
    marginal = counts / counts.sum()

    def wrong(alpha: float) -> Array:
        share = float(expit(log_odds - alpha).mean()) if len(log_odds) else 0.5
        return np.asarray(marginal / (share * np.exp(alpha + beta * parted.z) + 1 - share))

    alpha = float(brentq(lambda alpha: float(wrong(alpha).sum()) - 1, -25, 25))
    f0 = wrong(alpha)
    f1 = f0 * np.exp(alpha + beta * parted.z)
    return alpha, f1 / f1.sum(), f0 / f0.sum()


def effective(weight: Array) -> float:
    """Kish's effective sample size of weights (N,)."""
    total = float(weight.sum())
    return total * total / float(weight @ weight) if total else 0.0


def table(judge: JudgeTable, parted: Bins, tilt: Tilt) -> JudgeTable:
    """The fitted table under the judge's own name, range and cost."""
    columns = {
        "edges": parted.edges,
        "raw": parted.raw,
        "z": parted.z,
        "f1": tilt.f1,
        "f0": tilt.f0,
    }
    return judge.replaced(**{name: tuple(column.tolist()) for name, column in columns.items()})
