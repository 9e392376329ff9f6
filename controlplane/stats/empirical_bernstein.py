"""A confidence sequence for the running mean of what was served: empirical Bernstein.

It holds for any number of labels, under drift and retuning, and asks nothing but that the
probabilities were kept to. For that it is wide; see ``asymptotic`` for the narrower one.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaln

from controlplane.stats.aipw import Scores
from controlplane.stats.intervals import Band, normal_quantile

Array = NDArray[np.float64]

TUNED_FOR = 500.0
SPREAD = 0.16  # variance of a label about its prediction, where a boundary is tuned
DOUBLINGS, HALVINGS = 60, 50


def empirical_bernstein_band(
    scores: Scores,
    least_probability: float,
    confidence: float = 0.95,
    tuned_for: float = TUNED_FOR,
) -> Band:
    """Intervals (N,) for the mean of the first 1, 2, ... N served values, all valid together.

    (Howard, Ramdas, McAuliffe and Sekhon, Annals of Statistics 49, 2021, theorem 4.) For
    x >= -1 and l in [0, 1), E exp(l x + (log(1 - l) + l) x^2) <= 1 + l E x; applied to a query's
    surprise as a share of its greatest fall, 1 / ``least_probability``, the product over queries
    of exp(l (phi - y) + (log(1 - l) + l) surprise^2) is a supermartingale, whatever the served
    values y are, since the mean surprise is y less the prediction. So is its mixture over l, and
    by Ville's inequality it is ever large with small probability. Each side takes half of
    alpha. ``tuned_for`` is the number of labels, at the least probability, about which it is
    narrowest. Never intersect the intervals of several times: the mean that they cover moves.

    >>> rng = np.random.default_rng(3)
    >>> right = (rng.uniform(size=5000) < 0.8).astype(float)
    >>> from controlplane.stats.aipw import aipw_scores
    >>> seen = np.where(rng.uniform(size=5000) < 0.2, right, np.nan)
    >>> scores = aipw_scores(np.full(5000, 0.8), np.full(5000, 0.2), seen)
    >>> last = empirical_bernstein_band(scores, 0.2).at(-1)
    >>> bool(last.low < right.mean() < last.high), round(last.high - last.low, 2)
    (True, 0.09)
    """
    normal_quantile(confidence)
    squares = np.cumsum((scores.surprise * least_probability) ** 2)
    times = np.arange(1, len(squares) + 1)
    mean = np.cumsum(scores.phi) / times
    reach = boundary(squares, (1 - confidence) / 2, tuned_for) / least_probability / times
    return Band(mean, np.clip(mean - reach, 0, 1), np.clip(mean + reach, 0, 1))


def boundary(squares: Array, alpha: float, tuned_for: float = TUNED_FOR) -> Array:
    """What a sum of unit-scaled deviations exceeds at any time with probability <= alpha (T,)."""
    distinct, place = np.unique(squares, return_inverse=True)
    limit = -np.log(alpha)
    high = np.ones_like(distinct)
    for _ in range(DOUBLINGS):
        short = log_mixture(high, distinct, alpha, tuned_for) < limit
        if not short.any():
            break
        high = np.where(short, 2 * high, high)
    low = np.zeros_like(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        short = log_mixture(middle, distinct, alpha, tuned_for) < limit
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(high[place])


def log_mixture(total: Array, squares: Array, alpha: float, tuned_for: float = TUNED_FOR) -> Array:
    """Log evidence that deviations summing to ``total`` are not centred; shapes broadcast.

    The supermartingale exp(l total + (log(1 - l) + l) squares) averaged over l, with 1 - l of a
    gamma law cut off at 1 (Howard et al., proposition 9). Totals must exceed minus the squares.
    """
    rho = SPREAD * tuned_for / (-2 * np.log(alpha) + np.log1p(-2 * np.log(alpha)))
    shape, rate = squares + rho, total + squares + rho
    normaliser = rho * np.log(rho) - gammaln(rho) - np.log(gammainc(rho, rho))
    moved = gammaln(shape) + np.log(gammainc(shape, rate)) - shape * np.log(rate)
    return np.asarray(normaliser + moved + total + squares)
