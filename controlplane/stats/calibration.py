"""Whether a judge's probabilities mean what they say: Brier score and calibration error.

The calibration error is the root mean square distance between predicted and observed shares over
bins of equal mass. A bin's squared distance is, by chance alone, too large by its variance, so
that variance is taken off (the debiased estimator of Kumar, Liang and Ma, arXiv 1909.10155,
section 4); the plain binned error of a perfectly calibrated judge is far from 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval, by_variance, normal_quantile, wilson
from controlplane.stats.rates import Array, Mask, mean_variance, rate
from controlplane.stats.survey import effective_labels

BINS = 10
LABELS_PER_BIN = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of like predictions: their mean prediction, and how many were right."""

    predicted: float
    right: Interval
    labels: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """``error`` is the root mean square over ``bins``, in the unit of a probability."""

    error: Interval
    bins: tuple[Bin, ...]


def brier(predicted: Array, right: Mask, probability: Array, confidence: float = 0.95) -> Interval:
    """Weighted mean squared error of probabilities; arrays (n,), one row a label.

    (Brier, Monthly Weather Review 78, 1950.) The interval is Wilson's for the labels that the
    variance is worth. Without labels it is [0, 1].

    >>> brier(np.array([0.5, 0.5]), np.array([True, False]), np.ones(2)).estimate
    0.25
    """
    if not len(right):
        return wilson(0.5, 0, confidence)
    weight = 1 / probability
    loss = (predicted - right) ** 2
    mean = float(weight @ loss / weight.sum())
    variance = mean_variance(loss - mean, weight)
    return by_variance(mean, variance, effective_labels(weight), confidence)


def calibration_error(
    predicted: Array, right: Mask, probability: Array, confidence: float = 0.95
) -> Calibration:
    """Debiased calibration error over at most 10 bins of equal mass; arrays (n,).

    Bins hold at least 10 labels. The interval takes the bins as given and their distances as
    normal; its lower end is 0 where no error is shown. Raises ``ValueError`` without a label.

    >>> rng = np.random.default_rng(2)
    >>> p = rng.uniform(size=2000)
    >>> said = calibration_error(p, rng.uniform(size=2000) < p, np.ones(2000))
    >>> said.error.low, said.error.high < 0.06
    (0.0, True)
    """
    if not len(right):
        raise ValueError("no labels to calibrate against")
    weight = 1 / probability
    rows = _equal_mass(predicted, weight)
    mass = np.array([weight[row].sum() for row in rows]) / weight.sum()
    gaps = [_gap(predicted[row] - right[row], weight[row]) for row in rows]
    distance, variance = np.array(gaps).T
    return Calibration(
        _root_mean_square(mass, distance, variance, confidence),
        tuple(
            Bin(
                float(np.average(predicted[row], weights=weight[row])),
                rate(right[row], weight[row], confidence),
                len(row),
            )
            for row in rows
        ),
    )


def _equal_mass(predicted: Array, weight: Array) -> list[NDArray[np.intp]]:
    """Rows of each bin, in order of prediction; equal predictions stay together."""
    _, place = np.unique(predicted, return_inverse=True)
    mass = np.bincount(place, weight)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    count = int(np.clip(len(predicted) // LABELS_PER_BIN, 1, BINS))
    bin_of = np.minimum((middle * count).astype(np.intp), count - 1)[place]
    return [np.flatnonzero(bin_of == k) for k in range(count) if (bin_of == k).any()]


def _gap(residual: Array, weight: Array) -> tuple[float, float]:
    """Mean residual of a bin, and its variance."""
    mean = float(weight @ residual / weight.sum())
    return mean, float(np.nan_to_num(mean_variance(residual - mean, weight), nan=0.25))


def _root_mean_square(mass: Array, distance: Array, variance: Array, confidence: float) -> Interval:
    squares = distance**2 - variance
    # of a normal distance: its square has variance 4 d^2 v + 2 v^2
    spread = 4 * np.maximum(squares, 0) * variance + 2 * variance**2
    mean, half = mass @ squares, normal_quantile(confidence) * np.sqrt(mass**2 @ spread)
    ends = np.sqrt(np.clip([mean, mean - half, mean + half], 0, 1))
    return Interval(*(float(end) for end in ends))
