"""Intervals of a proportion."""

from dataclasses import dataclass
from math import sqrt

from scipy.special import betaincinv, ndtri


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate and its two-sided interval, all in the unit of the estimate."""

    estimate: float
    low: float
    high: float


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
    return Interval(mean, max(centre - half, 0.0), min(centre + half, 1.0))


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
