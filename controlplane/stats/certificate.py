"""How loose a judge's cutoff may be, certified on a frozen score's raw bins.

The loss of a query is 1 where its local answer would be accepted, is wrong, and the cloud's would
have been right. Its mean can only grow as the cutoff loosens, so cutoffs are tested from the
strictest on until one fails (risk-controlling prediction sets: Bates, Angelopoulos, Lei, Malik and
Jordan, JACM 68, 2021, theorem 1): only the first cutoff beyond the limit can be certified in
error, and one exact binomial bound at delta covers it, however many cutoffs there are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import clopper_pearson

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

DELTA = 0.10


@dataclass(frozen=True, slots=True)
class Certificate:
    """Bins from ``least_bin`` up may be accepted; ``least_bin`` is their number if none may.

    ``risk`` is the upper bound of the loss there, from ``losses`` among ``labels``, of which
    ``accepted`` is the share above the cutoff.
    """

    least_bin: int
    risk: float
    losses: int
    labels: int
    accepted: float


def certify(
    bin_of: Places, loss: Mask, bins: int, limit: float, delta: float = DELTA
) -> Certificate:
    """The loosest cutoff whose mean loss exceeds ``limit`` with probability at most ``delta``.

    Arrays (n,): each query's bin in 0 .. bins - 1, ascending in the score, and whether accepting
    its local answer loses. Queries must be drawn uniformly, and the bins be set without them: it is
    void once the judge, its bins or the local model change. Raises ``ValueError`` for a bin out of
    range.

    >>> bin_of, loss = np.arange(100) // 25, np.arange(100) < 30
    >>> certified = certify(bin_of, loss, 4, limit=0.05)
    >>> certified.least_bin, certified.accepted, round(certified.risk, 4)
    (2, 0.5, 0.0228)
    """
    n = len(bin_of)
    if n and not 0 <= bin_of.min() <= bin_of.max() < bins:
        raise ValueError(f"bins must lie in 0 .. {bins - 1}")
    losses = _from_the_top(bin_of[loss], bins)
    accepted = _from_the_top(bin_of, bins)
    least, risk = bins, 0.0
    while least > 0:
        bound = upper_bound(int(losses[least - 1]), n, delta)
        if bound > limit:
            break
        least, risk = least - 1, bound
    found, taken = (int(each[least]) for each in (losses, accepted))
    return Certificate(least, risk, found, n, taken / n if n else 0.0)


def upper_bound(losses: int, n: int, delta: float) -> float:
    """What a binomial proportion is below with probability at least 1 - delta."""
    return clopper_pearson(losses, n, 1 - 2 * delta).high


def share_of_delta(delta: float, attempt: int) -> float:
    """Delta's share of the first, second, ... certificate; all shares together make delta.

    >>> [share_of_delta(0.1, attempt).__round__(4) for attempt in (1, 2, 3)]
    [0.05, 0.0167, 0.0083]
    """
    if attempt < 1:
        raise ValueError(f"attempts count from 1, not {attempt}")
    return delta / (attempt * (attempt + 1))


def _from_the_top(bin_of: Places, bins: int) -> Places:
    """How many lie in each bin or above (bins + 1,)."""
    counts = np.bincount(bin_of, minlength=bins)
    return np.concatenate([np.cumsum(counts[::-1])[::-1], [0]])
