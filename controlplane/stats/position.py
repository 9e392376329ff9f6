"""Position bias of a judge that compares two answers: does the order in which they stand decide?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval, clopper_pearson

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Of ``readable`` pairs ``moved`` have another winner once the answers change places.

    ``first``: the share of those that went to whichever stood first.
    """

    readable: int
    moved: int
    first: Interval

    @property
    def found(self) -> bool:
        """Whether the order has an effect: without one either place wins as often."""
        return not self.first.low <= 0.5 <= self.first.high


def position_bias(winner: Array, confidence: float = 0.95) -> PositionBias:
    """From winners (N, 2), 1 or 2 by the answers' own numbers, NaN where none could be read.

    In the first column answer 1 stood first, in the second answer 2. A judge without a bias may
    still waver on what is even; then either place wins as often (Wang et al., arXiv 2305.17926).

    >>> winner = np.array([[1, 1], [2, 2], [1, 2], [1, 2], [1, 2], [1, 2], [1, 2], [1, 2]])
    >>> bias = position_bias(winner.astype(float))
    >>> bias.readable, bias.moved, bias.first.estimate, bias.found
    (8, 6, 1.0, True)
    """
    changed = moved(winner)
    first = clopper_pearson(int(took_first(winner).sum()), int(changed.sum()), confidence)
    return PositionBias(int(readable(winner).sum()), int(changed.sum()), first)


def readable(winner: Array) -> Mask:
    """Pairs (N,) with a verdict in both orders."""
    return np.asarray(~np.isnan(winner).any(axis=1))


def moved(winner: Array) -> Mask:
    """Pairs (N,) whose winner changes with the order."""
    return np.asarray(readable(winner) & (winner[:, 0] != winner[:, 1]))


def took_first(winner: Array) -> Mask:
    """Pairs (N,) of which whichever answer was shown first won."""
    return np.asarray((winner == [1, 2]).all(axis=1))
