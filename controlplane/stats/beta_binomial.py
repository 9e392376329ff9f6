"""A confidence sequence for one constant proportion: the Beta-binomial mixture.

Valid for labels of one structural policy since its last alarm, drawn alike: each right with the
same probability whatever came before. Under drift it claims nothing, not even the running mean;
for that see ``empirical_bernstein`` and ``asymptotic``.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlog1py, xlogy

from controlplane.stats.intervals import Band, normal_quantile

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

HALVINGS = 50
EVEN = (1.0, 1.0)


def beta_binomial_band(
    successes: Array,
    failures: Array,
    confidence: float = 0.95,
    prior: tuple[float, float] = EVEN,
) -> Band:
    """The proportions m not refuted so far, from running counts (T,).

    {m : B(S+a, F+b) / B(a, b) / (m^S (1-m)^F) < 1 / alpha} (Robbins, Annals of Mathematical
    Statistics 41, 1970). At the true m that ratio is the likelihood under a mixture over the
    likelihood under m: a nonnegative martingale that starts at 1, and by Ville's inequality it
    ever reaches 1 / alpha with probability at most alpha. ``prior`` is (a, b), where it is
    narrowest. Without labels the interval is [0, 1].

    >>> band = beta_binomial_band(np.array([0.0, 40, 80]), np.array([0.0, 10, 20]))
    >>> band.low.round(3).tolist(), band.high.round(3).tolist()
    ([0.0, 0.591, 0.652], [1.0, 0.935, 0.907])
    """
    normal_quantile(confidence)
    limit = -np.log1p(-confidence)
    n = successes + failures
    mean = np.divide(successes, n, out=np.full_like(n, 0.5, dtype=np.float64), where=n > 0)

    def refuted(m: Array) -> Mask:
        return np.asarray(log_ratio(successes, failures, m, prior) >= limit)

    low = _edge(refuted, np.zeros_like(mean), mean)
    high = _edge(refuted, np.ones_like(mean), mean)
    return Band(mean, np.where(successes > 0, low, 0.0), np.where(failures > 0, high, 1.0))


def log_ratio(
    successes: Array, failures: Array, m: float | Array, prior: tuple[float, float] = EVEN
) -> Array:
    """Log of the evidence against the proportion m after these counts; all shapes broadcast."""
    a, b = prior
    mixture = betaln(successes + a, failures + b) - betaln(a, b)
    return np.asarray(mixture - xlogy(successes, m) - xlog1py(failures, -np.asarray(m)))


def _edge(refuted: Callable[[Array], Mask], outside: Array, inside: Array) -> Array:
    """Where refutation ends between two sides, by halving; never within what is not refuted."""
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        out = refuted(middle)
        outside, inside = np.where(out, middle, outside), np.where(out, inside, middle)
    return outside
