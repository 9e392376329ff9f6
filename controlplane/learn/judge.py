"""The judge's likelihood by exponential tilt, from few labels and many unlabelled scores.

``logit P(local right | x, k) = a + s logit p_hat(x) + alpha + beta z_k``, with no alpha and beta
where no score is known, is fitted on labels with a prior. The bins' marginals come from all judged
traffic, and alpha is what splits them into f1 and f0 = f1 / exp(alpha + beta z) so that both sum to
one (docs/methods.md, section 2). Each depends on the other, so they take turns.

A judge of a few verdicts has a deviation of each bin beside beta z_k: how far the verdicts lie
apart is for the labels to say, their ranks among all scores do not tell it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from controlplane.learn import logistic
from controlplane.learn.evidence import Labels
from controlplane.learn.logistic import Normal
from controlplane.learn.traffic import Columns
from controlplane.stats import effective_labels
from dataplane.contract.rule import Array, expit, logit
from dataplane.contract.terms import JudgeTable, Platt

PRIOR = Normal.independent(np.array([0.0, 1.0, 1.0]), np.array([1.0, 8.0, 2.0]))
ROUNDS = 4  # turns of fit and split: alpha moves little with the others
SCORES_PER_BIN = 6
MAX_BINS = 20
LEAST_SLOPE = 0.05  # a policy's calibration must rise with p_hat
SMOOTHING = 0.5  # counts added to each bin
FEW = range(3, 6)  # bins of a judge whose verdicts deviate from beta z; of two, beta says it all
DEVIATION = 1.0  # the prior precision of each


@dataclass(frozen=True, slots=True)
class Bins:
    """Frozen bins of a judge's raw scores: ``edges`` (K - 1), ``raw`` and ``z`` (K)."""

    edges: Array
    raw: Array
    z: Array

    def of(self, score: Array) -> NDArray[np.intp]:
        """The bin of each score."""
        return np.searchsorted(self.edges, score, side="right")

    @property
    def verdicts(self) -> Array:
        """What bears on a bin's log-likelihood ratio (K, J): z and, of a few, which bin it is."""
        z = self.z[:, None]
        return np.hstack([z, np.eye(len(z))]) if len(z) in FEW else z


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


@dataclass(frozen=True, slots=True, eq=False)
class Tilt:
    """A fitted judge: what is believed of (a, s, beta), and the table of its bins."""

    believed: Normal
    f1: Array
    f0: Array
    support: float

    @property
    def calibration(self) -> Platt:
        """How p_hat is calibrated."""
        a, s, _ = (float(value) for value in self.believed.mean)
        return Platt(intercept=a, slope=max(s, LEAST_SLOPE))


def fit(parted: Bins, labels: Labels, judged: Columns, prior: Normal = PRIOR) -> Tilt:
    """Fit calibration and likelihoods to labels and to all judged answers.

    ``support`` is the effective number of labelled scores. Without any score, p_hat is calibrated
    on the labels alone, ``support`` counts those, and the table says nothing.
    """
    right = labels.right[:, 0]
    known = ~np.isnan(right)
    scored = known & ~np.isnan(labels.score) if len(judged.score) else np.zeros_like(known)
    verdict = parted.verdicts[parted.of(np.nan_to_num(labels.score))] * scored[:, None]
    log_odds = logit(labels.p_hat[:, 0])
    x = np.column_stack([np.ones_like(log_odds), log_odds, verdict])[known]
    y, weight = right[known], labels.weight[known]
    prior = prior.beside(np.full(verdict.shape[1] - 1, DEVIATION))
    if not len(judged.score):
        even = np.full(len(parted.z), 1 / len(parted.z))
        believed = logistic.fit(x, y, weight, prior)
        return Tilt(believed.first(len(PRIOR.mean)), even, even, effective_labels(weight))
    alpha = 0.0
    for _ in range(ROUNDS):
        believed = logistic.fit(x, y, weight, prior, np.where(scored[known], alpha, 0.0))
        alpha, f1, f0 = _split(parted, judged, believed, alpha)
    return Tilt(believed.first(len(PRIOR.mean)), f1, f0, effective_labels(labels.weight[scored]))


def _split(
    parted: Bins, judged: Columns, believed: Normal, alpha: float
) -> tuple[float, Array, Array]:
    """The alpha that normalises both likelihoods, and they.

    Scored labels tell a + alpha rather than either, so the next a is what is left of that sum.
    """
    a, s, *of_verdicts = believed.mean
    log_odds = a + alpha + max(s, LEAST_SLOPE) * logit(judged.p_hat[:, 0])
    counts = np.bincount(parted.of(judged.score), minlength=len(parted.z)) + SMOOTHING
    marginal = counts / counts.sum()
    lift = parted.verdicts @ of_verdicts

    def wrong(alpha: float) -> Array:
        share = float(expit(log_odds - alpha).mean())
        return np.asarray(marginal / (share * np.exp(alpha + lift) + 1 - share))

    alpha = float(brentq(lambda alpha: float(wrong(alpha).sum()) - 1, -25, 25))
    f0 = wrong(alpha)
    f1 = f0 * np.exp(alpha + lift)
    return alpha, f1 / f1.sum(), f0 / f0.sum()


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
