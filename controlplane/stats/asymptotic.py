"""A confidence sequence for the running mean of what was served: the asymptotic one.

Narrower than ``empirical_bernstein``, and valid once labels suffice to tell their variance: it
says nothing before.
"""

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.aipw import Scores
from controlplane.stats.intervals import Band, normal_quantile

Array = NDArray[np.float64]

TUNED_FOR = 500.0
SPREAD = 0.16  # variance of a label about its prediction, where a boundary is tuned
ENOUGH = 30.0  # effective number of labels behind the variance, below which it is not relied on


def asymptotic_band(
    scores: Scores,
    least_probability: float,
    confidence: float = 0.95,
    tuned_for: float = TUNED_FOR,
) -> Band:
    """Intervals (N,) for the mean of the first 1, 2, ... N served values, all valid together.

    (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics 52, 2024, section 2.3,
    arXiv 2103.06476.) Sums of phi - y are a martingale; one of Gaussian steps with summed variance
    v would make exp(l s - l^2 v / 2), averaged over a normal l, a martingale too, which exceeds
    1 / alpha with probability at most alpha; a strong approximation carries that over, v being
    estimated without bias. Before 30 effective labels the intervals are [0, 1]. ``tuned_for`` is
    the number of labels, at ``least_probability``, about which it is narrowest. Never intersect
    the intervals of several times: the mean that they cover moves.

    >>> rng = np.random.default_rng(3)
    >>> right = (rng.uniform(size=5000) < 0.8).astype(float)
    >>> from controlplane.stats.aipw import aipw_scores
    >>> seen = np.where(rng.uniform(size=5000) < 0.2, right, np.nan)
    >>> scores = aipw_scores(np.full(5000, 0.8), np.full(5000, 0.2), seen)
    >>> last = asymptotic_band(scores, 0.2).at(-1)
    >>> bool(last.low < right.mean() < last.high), round(last.high - last.low, 2)
    (True, 0.07)
    """
    normal_quantile(confidence)
    variance = np.cumsum(scores.variance)
    times = np.arange(1, len(variance) + 1)
    mean = np.cumsum(scores.phi) / times
    alpha = 1 - confidence
    reach = boundary(variance, alpha, _tuning(alpha, least_probability, tuned_for)) / times
    known = enough(scores.variance)
    return Band(
        mean,
        np.where(known, np.clip(mean - reach, 0, 1), 0.0),
        np.where(known, np.clip(mean + reach, 0, 1), 1.0),
    )


def boundary(variance: Array, alpha: float, tuning: float) -> Array:
    """What the size of a sum of this variance ever exceeds with probability alpha (T,)."""
    inflated = variance * tuning + 1
    return np.asarray(np.sqrt(inflated / tuning * (np.log(inflated) - 2 * np.log(alpha))))


def enough(variance: Array) -> NDArray[np.bool_]:
    """Whether by then variances (N,) come from sufficiently many labels (Kish's number)."""
    total, squares = np.cumsum(variance), np.cumsum(variance**2)
    return np.asarray(total**2 >= ENOUGH * squares) & (squares > 0)


def _tuning(alpha: float, least_probability: float, tuned_for: float) -> float:
    """Variance of the mixing l that is best at so many labels (the paper's equation 10)."""
    spread = SPREAD * tuned_for * (1 - least_probability) / least_probability**2
    return float((-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / max(spread, 1.0))
