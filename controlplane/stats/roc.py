"""The ROC curve of a judge and the area under it, from labels drawn with known unequal chances.

The area is the weighted share of (right, wrong) pairs in which the right answer scores higher,
ties counted half (Mann and Whitney). Its variance is that of its structural components (DeLong,
DeLong and Clarke-Pearson, Biometrics 44, 1988), each weighted by how many answers it stands for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval, by_variance
from controlplane.stats.rates import Array, Confusion, Mask, confusion, mean_variance
from controlplane.stats.survey import effective_labels


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """A point for each cutoff, loosening: from nothing accepted to everything; arrays (K + 1,).

    The first cutoff is infinite, the others are the K distinct scores from the highest down.
    """

    cutoff: Array
    fpr: Array
    tpr: Array


def roc_curve(score: Array, right: Mask, probability: Array) -> Roc:
    """Weighted ROC points; arrays (n,), one row a label drawn with ``probability``.

    Raises ``ValueError`` unless there is a right and a wrong answer.

    >>> curve = roc_curve(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]), np.ones(3))
    >>> curve.tpr.tolist(), curve.fpr.tolist()
    ([0.0, 0.5, 1.0], [0.0, 0.0, 1.0])
    """
    values, _, of_right, of_wrong = _by_value(score, right, probability)
    steps = (np.cumsum(each[::-1]) / each.sum() for each in (of_wrong, of_right))
    fpr, tpr = (np.concatenate([[0.0], each]) for each in steps)
    return Roc(np.concatenate([[np.inf], values[::-1]]), fpr, tpr)


def auroc(score: Array, right: Mask, probability: Array, confidence: float = 0.95) -> Interval:
    """Weighted area under the ROC curve, Wilson's interval for the pairs that it is worth.

    Arrays and errors are those of ``roc_curve``. Where the two kinds do not overlap at all there is
    no variance to go by, and the rarer kind's effective number takes its place. A score of two
    values is a verdict: its area is that of its two rates, with their intervals.

    >>> rng = np.random.default_rng(2)
    >>> right = rng.uniform(size=500) < 0.7
    >>> interval = auroc(rng.normal(size=500) + 1.19 * right, right, np.ones(500))
    >>> bool(interval.low < 0.8 < interval.high)
    True
    """
    values, place, of_right, of_wrong = _by_value(score, right, probability)
    if len(values) == 2:
        return _of_verdicts(confusion(score, right, probability, values[1], confidence))
    below = (np.cumsum(of_wrong) - of_wrong / 2) / of_wrong.sum()  # of a right answer's score
    above = 1 - (np.cumsum(of_right) - of_right / 2) / of_right.sum()
    area = float(of_right @ below / of_right.sum())
    weight = 1 / probability
    components = [(below[place[right]], weight[right]), (above[place[~right]], weight[~right])]
    variance = sum(mean_variance(part - area, w) for part, w in components)
    behind = min(_behind_variance(part - area, w) for part, w in components)
    return by_variance(area, variance, behind, confidence)


def _of_verdicts(rates: Confusion) -> Interval:
    """The area (1 + tpr - fpr) / 2, by the interval of a difference (Newcombe, Statistics in
    Medicine 17, 1998, method 10): few wrong answers accepted, or none, say little of how many."""
    tpr, fpr = rates.tpr, rates.fpr
    area = (1 + tpr.estimate - fpr.estimate) / 2
    below = np.hypot(tpr.estimate - tpr.low, fpr.high - fpr.estimate) / 2
    above = np.hypot(tpr.high - tpr.estimate, fpr.estimate - fpr.low) / 2
    return Interval(area, float(area - below), float(area + above))


def _behind_variance(residual: Array, weight: Array) -> float:
    """Labels that a variance rests on: Kish's number, or fewer where a few bear most of it."""
    parts, labels = (weight * residual) ** 2, effective_labels(weight)
    if not parts.any():
        return labels
    doubt = float(parts @ parts / parts.sum() ** 2) - 1 / len(parts)
    return min(labels, 1 + 2 / doubt) if doubt > 0 else labels


def _by_value(
    score: Array, right: Mask, probability: Array
) -> tuple[Array, NDArray[np.intp], Array, Array]:
    """Distinct scores ascending, each row's place among them, weight of right and wrong there."""
    if right.all() or not right.any():
        raise ValueError("a ROC curve needs right and wrong answers")
    values, place = np.unique(score, return_inverse=True)
    weight = 1 / probability
    of_right = np.bincount(place[right], weight[right], len(values))
    of_wrong = np.bincount(place[~right], weight[~right], len(values))
    return values, place, np.asarray(of_right, float), np.asarray(of_wrong, float)
