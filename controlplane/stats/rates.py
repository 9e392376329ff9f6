"""A judge's confusion at a cutoff, from labels drawn with known unequal chances.

Each rate is a ratio of weighted sums (Hajek's estimator of a domain mean: Sarndal, Swensson and
Wretman, Model Assisted Survey Sampling, 1992, sections 5.8 and 10.3). The intervals are for the
traffic that the labelled answers come from, which is wider than for those answers alone: a judge
is asked about the next answer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval, wilson
from controlplane.stats.survey import effective_labels

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ENOUGH_OF_EITHER = 10  # hits, and misses, below which a variance is not to be relied on


@dataclass(frozen=True, slots=True)
class Confusion:
    """What a cutoff does: shares of right and of wrong answers accepted, and of accepted right."""

    tpr: Interval
    fpr: Interval
    precision: Interval
    accepted: Interval


def confusion(
    score: Array, right: Mask, probability: Array, cutoff: float, confidence: float = 0.95
) -> Confusion:
    """Rates of a judge that accepts ``score >= cutoff``; arrays (n,), one row a label.

    ``probability`` is the chance, in (0, 1], with which the row was drawn. A rate with nothing
    under it (no wrong answer, say) has the interval [0, 1].

    >>> score, right = np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, True, False, True])
    >>> rates = confusion(score, right, np.array([0.5, 0.5, 0.5, 0.1]), 0.5)
    >>> round(rates.tpr.estimate, 4), rates.fpr.estimate, rates.precision.estimate
    (0.2857, 0.0, 1.0)
    """
    accepted, weight = score >= cutoff, 1 / probability
    sides = typical(weight[~accepted]), typical(weight[accepted])
    return Confusion(
        tpr=rate(accepted[right], weight[right], confidence, sides),
        fpr=rate(accepted[~right], weight[~right], confidence, sides),
        precision=rate(right[accepted], weight[accepted], confidence),
        accepted=rate(accepted, weight, confidence, sides),
    )


def rate(
    hit: Mask, weight: Array, confidence: float = 0.95, sides: tuple[float, float] = (0.0, 0.0)
) -> Interval:
    """Weighted share of hits (n,), with Wilson's interval for the labels that it is worth.

    The variance tells those, given ten hits and ten misses; with fewer, which may by chance all
    have light weights, it would promise too much, and Kish's effective sample size serves.
    ``sides`` are the typical weights of a miss and of a hit, where more labels than these tell
    them: if the rarer kind is drawn less often, few labels, or none, stand for many queries.
    """
    if not len(hit):
        return wilson(0.5, 0, confidence)
    share, labels = float(weight @ hit / weight.sum()), effective_labels(weight)
    if min(hit.sum(), (~hit).sum()) >= ENOUGH_OF_EITHER:
        labels = share * (1 - share) / mean_variance(np.asarray(hit - share), weight)
    elif max(sides) > 0:
        heavy = sides[int(hit.sum() <= (~hit).sum())] or max(sides)
        labels = min(labels, float(weight.sum()) / heavy)
    return wilson(share, labels, confidence)


def typical(weight: Array) -> float:
    """Of a label met by chance among all the queries that labels stand for; 0 without labels."""
    return float(weight @ weight / weight.sum()) if len(weight) else 0.0


def mean_variance(residual: Array, weight: Array) -> float:
    """Variance of a weighted mean over draws, from the residuals about it (n,); NaN if n < 2."""
    n = len(residual)
    if n < 2:
        return float("nan")
    return float(((weight * residual) ** 2).sum() / weight.sum() ** 2 * n / (n - 1))
