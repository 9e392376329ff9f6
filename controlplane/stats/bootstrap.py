"""Intervals of ratios of sums, by resampling whole clusters."""

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval

RESAMPLES = 1000
AT_ONCE = 50  # resamples held in memory together


def ratios(
    above: NDArray[np.float64],
    below: NDArray[np.float64],
    clusters: NDArray[np.intp],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Interval]:
    """Percentile intervals of ``above.sum(0) / below.sum(0)``, columns (N, K), K intervals.

    Rows of the same cluster (N,) are drawn together, and all columns from the same draws, so what
    belongs to one query stays together (Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, chapters 8 and 13). Raises ``ValueError`` if there are no rows.
    """
    if not len(above):
        raise ValueError("no rows to resample")
    _, place = np.unique(clusters, return_inverse=True)
    count = int(place.max()) + 1
    sums = np.zeros((count, above.shape[1] + below.shape[1]))
    np.add.at(sums, place, np.hstack([above, below]))
    drawn = _resampled(sums, np.random.default_rng(seed))
    columns = above.shape[1]
    estimate = above.sum(axis=0) / below.sum(axis=0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn[:, :columns] / drawn[:, columns:], [tail, 1 - tail], axis=0)
    return [Interval(*(float(part) for part in each)) for each in zip(estimate, low, high)]  # noqa: B905 - one a column


def _resampled(sums: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Sums over clusters drawn with replacement, (RESAMPLES, columns)."""
    count = len(sums)
    share = np.full(count, 1 / count)
    return np.vstack(
        [rng.multinomial(count, share, AT_ONCE) @ sums for _ in range(RESAMPLES // AT_ONCE)]
    )
