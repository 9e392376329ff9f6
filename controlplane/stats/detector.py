"""A Shiryaev-Roberts e-detector: raises an alarm when a mean rises above its bound, at any time.

For each stake, M_t = L_t (M_{t-1} + 1), with L_t the factor of a bet (``betting``): the sum, over
all times at which a change might have begun, of the wealth won since. While the null holds,
E[M_t | past] <= M_{t-1} + 1, so E[M_T] <= E[T] for any stopping time T, and an alarm at M >= A
comes after A updates or more on average (Shin, Ramdas and Rinaldo, New England Journal of
Statistics in Data Science 2, 2024, arXiv 2203.03532, section 2). A mean over stakes keeps that.
Where an update starts no bet anew (``fresh=False``) nothing is added, and only fresh ones are
counted in that average.
"""

from dataclasses import dataclass
from math import exp, inf, log1p
from typing import Any

from controlplane.stats.betting import STAKES, log_gains, log_mean_exp


@dataclass(frozen=True, slots=True)
class Detector:
    """Log(1 + M) of each stake, and how many updates were fresh."""

    logs: tuple[float, ...] = (0.0,) * len(STAKES)
    updates: int = 0

    @property
    def log_evidence(self) -> float:
        """Log of M, averaged over the stakes; to be compared with the log of the run length."""
        logs = tuple(_log_sum(each) for each in self.logs)
        return log_mean_exp(logs) if max(logs) > -inf else -inf

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {"logs": list(self.logs), "updates": self.updates}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Detector":
        """Inverse of ``state``."""
        return cls(tuple(state["logs"]), state["updates"])


def detect(
    detector: Detector,
    difference: float,
    null: float = 0.0,
    least: float = -1.0,
    *,
    fresh: bool = True,
) -> Detector:
    """The detector after one difference, whose mean is at most ``null`` while nothing is wrong.

    Arguments and errors are those of ``betting.bet``.

    >>> detector = Detector()
    >>> for _ in range(30):
    ...     detector = detect(detector, 0.5)
    >>> round(detector.log_evidence, 2)
    6.8
    """
    logs = tuple(
        _grown(each, gain, fresh)
        for each, gain in zip(detector.logs, log_gains(difference, null, least), strict=True)
    )
    return Detector(logs, detector.updates + fresh)


def _grown(log_one_more: float, gain: float, fresh: bool) -> float:
    """Log(1 + M') from log(1 + M): M' is the gain's multiple of M, or of M + 1 if fresh."""
    grown = gain + (log_one_more if fresh else _log_sum(log_one_more))
    return max(grown, 0.0) + log1p(exp(-abs(grown)))


def _log_sum(log_one_more: float) -> float:
    """Log of M from log(1 + M)."""
    return log_one_more + log1p(-exp(-log_one_more)) if log_one_more > 0 else -inf
