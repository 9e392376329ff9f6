"""How much better one policy is than another, from the queries that they would answer differently.

Where two policies serve the same answer they are as good as each other, and labels of that say
nothing of the difference. It is the mean difference where they part, times how often they do: the
same labels tell some 1 / share times as much as those of all queries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval, wilson
from controlplane.stats.off_policy import Refusal, snips

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ANYTHING, NONE = Interval(0.0, -1.0, 1.0), Interval(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """``effect``, over all of these queries, = ``share`` x ``difference`` where policies may part.

    The interval of ``share`` is for traffic of which these queries are a sample, the other two are
    of the queries at hand. Where policies never part, ``difference`` may be anything.
    """

    share: Interval
    difference: Interval
    effect: Interval
    labels: int
    effective_labels: float


def disagreement(
    difference: Array, chance: Array, differ: Mask, confidence: float = 0.95
) -> Disagreement | Refusal:
    """The self-normalised mean of ``difference`` (N,) in [-1, 1] where policies ``differ`` (N,).

    ``difference`` is NaN where not known, ``chance`` (N,) the probability with which it came to be
    known. ``differ`` must not depend on what a draw brought to light: where that alone tells
    whether two answers differ, it is true and the difference may be 0. Raises ``ValueError`` for
    differences outside [-1, 1].

    >>> differ = np.arange(1000) < 250
    >>> told = disagreement(np.where(differ, 0.2, 0.0), np.ones(1000), differ)
    >>> round(told.effect.low, 3), round(told.effect.high, 3), round(told.share.low, 3)
    (0.05, 0.05, 0.224)
    """
    share = wilson(float(differ.mean()) if len(differ) else 0.5, len(differ), confidence)
    if not differ.any():
        return Disagreement(share, ANYTHING, NONE, 0, 0.0)
    found = snips((difference[differ] + 1) / 2, chance[differ], confidence)
    if isinstance(found, Refusal):
        return found
    parts = found.interval.estimate, found.interval.low, found.interval.high
    there = Interval(*(2 * part - 1 for part in parts))
    effect = Interval(*(share.estimate * (2 * part - 1) for part in parts))
    return Disagreement(share, there, effect, found.labels, found.effective_labels)
