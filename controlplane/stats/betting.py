"""E-processes by betting: evidence that a mean exceeds a bound, to be looked at after every label.

Wealth starts at 1, and each bet stakes a share of what its outcome may take. If each difference d
has, given the past, a mean of at most the null's, then E[1 + l (d - null) | past] <= 1 for l >= 0:
wealth is a nonnegative supermartingale, a mixture over l fixed beforehand is one too, and by
Ville's inequality it ever reaches 1 / alpha with probability at most alpha (Waudby-Smith and
Ramdas, JRSS B 86, 2024, section 4; Shafer, JRSS A 184, 2021). The null, the range and which queries
count must be settled before the outcome is seen; nothing else is assumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

STAKES = (0.03, 0.06, 0.12, 0.25, 0.5)  # of the wealth, lost at the least difference


@dataclass(frozen=True, slots=True)
class Wealth:
    """Log wealth of each stake, and how many bets were made."""

    logs: tuple[float, ...] = (0.0,) * len(STAKES)
    bets: int = 0

    @property
    def log_evidence(self) -> float:
        """Log of the mean wealth over the stakes: the e-value's."""
        return log_mean_exp(self.logs)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {"logs": list(self.logs), "bets": self.bets}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Wealth":
        """Inverse of ``state``."""
        return cls(tuple(state["logs"]), state["bets"])


def bet(
    wealth: Wealth,
    difference: float,
    null: float = 0.0,
    least: float = -1.0,
    stakes: Sequence[float] = STAKES,
) -> Wealth:
    """Wealth after one difference, against a mean of at most ``null``.

    ``least`` is what the difference cannot fall below; both may change from bet to bet, by what
    was known before it. Other ``stakes`` than the usual ones want a wealth of as many. Raises
    ``ValueError`` for a difference below ``least`` or a null that is not above it.

    >>> wealth = Wealth()
    >>> for _ in range(30):
    ...     wealth = bet(wealth, 0.5)
    >>> round(exp(wealth.log_evidence), 1)
    170.4
    """
    gains = log_gains(difference, null, least, stakes)
    return Wealth(tuple(a + b for a, b in zip(wealth.logs, gains, strict=True)), wealth.bets + 1)


def log_gains(
    difference: float, null: float, least: float, stakes: Sequence[float] = STAKES
) -> tuple[float, ...]:
    """Log of what each stake's wealth is multiplied by."""
    if not difference >= least:
        raise ValueError(f"a difference of {difference} is below the least, {least}")
    if not null > least:
        raise ValueError(f"a null of {null} is not above the least difference, {least}")
    unit = (difference - null) / (null - least)
    return tuple(log1p(stake * unit) for stake in stakes)


def log_mean_exp(logs: tuple[float, ...]) -> float:
    """Log of the mean of exponentials, without overflow."""
    top = max(logs)
    return top + log(sum(exp(each - top) for each in logs) / len(logs))


def evidence_paths(
    differences: NDArray[np.float64],
    null: float | NDArray[np.float64] = 0.0,
    least: float = -1.0,
    stakes: Sequence[float] = STAKES,
) -> NDArray[np.float64]:
    """Log evidence after each of differences (..., T), many runs at once: ``bet``, folded.

    >>> evidence_paths(np.array([0.5, -1.0])).round(3).tolist()
    [0.092, -0.138]
    """
    unit = (differences - null) / (null - least)
    logs = [np.cumsum(np.log1p(stake * unit), axis=-1) for stake in stakes]
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - log(len(stakes)))
