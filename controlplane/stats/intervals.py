"""Intervals of a proportion, and the shapes in which all intervals are handed on."""

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri, stdtrit


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate and its two-sided interval, all in the unit of the estimate."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Intervals at many times, the parts of the same shape (T,)."""

    estimate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, time: int) -> Interval:
        """The interval at one time; -1 is the latest."""
        parts = (self.estimate, self.low, self.high)
        return Interval(*(float(part[time]) for part in parts))


def normal_quantile(confidence: float) -> float:
    """Two-sided standard normal quantile, 1.96 for .95; ``ValueError`` outside (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return float(ndtri((1 + confidence) / 2))


def wilson(mean: float, n: float, confidence: float = 0.95) -> Interval:
    """Score interval of a mean of ``n`` values in [0, 1] (Wilson, JASA 22, 1927).

    ``n`` may be an effective sample size. Values that are not 0 or 1 make it wider than needed.
    Without a sample the interval is [0, 1].

    >>> interval = wilson(0.8, 100)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.7112, 0.8666)
    """
    z = normal_quantile(confidence)
    if n <= 0:
        return Interval(0.5, 0.0, 1.0)
    shrink = 1 + z * z / n
    centre = (mean + z * z / (2 * n)) / shrink
    half = z * sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / shrink
    return Interval(mean, min(max(centre - half, 0.0), mean), max(min(centre + half, 1.0), mean))


def by_variance(
    estimate: float, variance: float, labels: float, confidence: float = 0.95
) -> Interval:
    """Wilson's interval for as many labels as would have this variance.

    A normal interval is too short and lopsided near 0 and 1 (Korn and Graubard, Survey Methodology
    24, 1998). ``labels`` is the effective number that the variance was estimated from: for the
    doubt in a variance from few, Student's quantile takes the normal one's place; where the
    variance says nothing (0, or not finite), those labels themselves are counted.

    >>> few, many = by_variance(0.8, 0.0016, 10), by_variance(0.8, 0.0016, 1e6)
    >>> few.low < many.low, many.low.__round__(4)
    (True, 0.7112)
    """
    spread = estimate * (1 - estimate)
    if not (isfinite(variance) and variance > 0 and spread > 0):
        return wilson(estimate, labels, confidence)
    student = float(stdtrit(max(labels - 1, 1), (1 + confidence) / 2))
    doubt = normal_quantile(confidence) / student
    return wilson(estimate, doubt**2 * spread / variance, confidence)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact interval of a binomial proportion (Clopper and Pearson, Biometrika 26, 1934).

    Covers at least ``confidence`` for every true proportion; wider than Wilson's.

    >>> clopper_pearson(0, 20).high.__round__(4)
    0.1684
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    normal_quantile(confidence)
    if n == 0:
        return Interval(0.5, 0.0, 1.0)
    tail = (1 - confidence) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return Interval(successes / n, low, high)
