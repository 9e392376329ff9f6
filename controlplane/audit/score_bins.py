"""How a judge's scores of right and of wrong answers are spread, and which of them it accepts.

The cutoff is an edge between two bins, so that counts of what it accepts can be read off exactly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.rates import Array, Mask

BINS = 20  # about
TAILS = (0.01, 0.99)  # the outermost bins hold what lies beyond them, too


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Answers whose raw score lies from ``low`` up to ``high``.

    ``right`` and ``wrong`` are labels; the shares are of all right, and of all wrong, answers, each
    label weighed by what it stands for.
    """

    low: float
    high: float
    right: int
    wrong: int
    right_share: float
    wrong_share: float


def score_bins(
    score: Array, right: Mask, probability: Array, cutoff: float
) -> tuple[ScoreBin, ...]:
    """The bins, lowest first; arrays (n,), one row a label. None without a label.

    >>> score, right = np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, False, True, True])
    >>> bins = score_bins(score, right, np.ones(4), 0.5)
    >>> sum(each.right for each in bins if each.low >= 0.5), bins[0].wrong_share
    (2, 0.5)
    """
    if not len(score):
        return ()
    edges = _edges(score, cutoff)
    at = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, len(edges) - 2)
    sides, size = (right, ~right), len(edges) - 1
    labels = [np.bincount(at[side], minlength=size) for side in sides]
    shares = [_shares(at[side], 1 / probability[side], size) for side in sides]
    columns = (edges[:-1], edges[1:], *labels, *shares)
    return tuple(ScoreBin(*row) for row in zip(*(each.tolist() for each in columns), strict=True))


def _edges(score: Array, cutoff: float) -> Array:
    """Of equal width, from the cutoff down and up where it lies among the scores."""
    low, high = (float(each) for each in np.quantile(score, TAILS))
    inside = float(score.min()) <= cutoff <= float(score.max())
    if inside:
        low, high = min(low, cutoff), max(high, cutoff)
    width = (high - low) / BINS or max(abs(low), 1.0) / BINS
    anchor = cutoff if inside else low
    below, above = np.ceil((anchor - low) / width), np.ceil((high - anchor) / width)
    steps = np.arange(-max(below, 1.0 if inside else 0.0), max(above, 1.0) + 1)
    return np.asarray(anchor + width * steps)


def _shares(at: NDArray[np.intp], weight: Array, size: int) -> Array:
    """(size,) of all weight."""
    summed = np.zeros(size)
    np.add.at(summed, at, weight)
    return summed / (summed.sum() or 1.0)
