"""What labels that never came may hide: worst-case bounds of a mean.

A labeller is unsure of wrong answers more often than of right ones, so what is silent is not like
what was said. Without an assumption the mean is known only between two ends: every silent value
0, and every one 1 (Horowitz and Manski, JASA 95, 2000). The interval reaches from the lower end's
lower limit to the upper end's upper one, and covers at least as often as either end's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval
from controlplane.stats.survey import Survey

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The mean if every silent label was 0, and if every one was 1; ``silent`` is their share."""

    lowest: Interval
    highest: Interval
    silent: float

    @property
    def interval(self) -> Interval:
        """Covers the mean whatever the silent labels hide; its estimate is the middle."""
        middle = (self.lowest.estimate + self.highest.estimate) / 2
        return Interval(middle, self.lowest.low, self.highest.high)


def worst_case(drawn: Survey, estimate: Callable[[Survey], Interval]) -> Bounds:
    """Bounds from every resolved draw, its ``value`` NaN where no label came.

    ``estimate`` is the interval to take of either completed survey. Draws that may still be
    answered are neither: leave out all queries from the first such draw on.

    >>> from controlplane.stats.survey import hajek_mean
    >>> value = np.array([1.0] * 70 + [0.0] * 20 + [np.nan] * 10)
    >>> survey = Survey(value, value, np.full(100, 0.5), 0.5, 200)
    >>> bounds = worst_case(survey, hajek_mean)
    >>> bounds.lowest.estimate, bounds.highest.estimate, bounds.silent
    (0.7, 0.8, 0.1)
    """
    silent = np.isnan(drawn.value)
    lowest, highest = (estimate(_completed(drawn, silent, value)) for value in (0.0, 1.0))
    share = float(drawn.weight[silent].sum() / drawn.weight.sum()) if len(silent) else 0.0
    return Bounds(lowest, highest, share)


def _completed(drawn: Survey, silent: Mask, value: float) -> Survey:
    return replace(drawn, value=np.where(silent, value, drawn.value))
