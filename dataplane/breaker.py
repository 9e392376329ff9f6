"""What keeps a failing tier from being asked: a circuit breaker and a retry budget."""

import time
from collections.abc import Callable

RETRY_SHARE = 0.2  # of the requests
RETRY_START = 3.0
RETRY_CEILING = 100.0  # a long good time must not pay for a storm


class Breaker:
    """Open after `threshold` failures in a row, for `cooldown_s`; then one probe decides.

    A tier that says itself that it is down rests after a single failure. Time is monotonic.
    """

    def __init__(
        self,
        *,
        threshold: int = 5,
        cooldown_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self._threshold = threshold
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._rests_until = -float("inf")
        self._probing = False

    def allows(self, *, up: bool = True) -> bool:
        """Whether a call may start now."""
        if self.failures < (self._threshold if up else 1):
            return True
        return self._clock() >= self._rests_until and not self._probing

    @property
    def open(self) -> bool:
        """Whether it takes a probe to close it."""
        return self.failures >= self._threshold

    def start(self) -> None:
        """A call begins."""
        self._probing = self.failures > 0

    def succeed(self) -> None:
        """The tier answered."""
        self.failures = 0
        self._probing = False

    def fail(self, retry_after_s: float | None = None) -> None:
        """The tier did not answer; it rests at least as long as it asked for."""
        self.failures += 1
        self._probing = False
        self._rests_until = self._clock() + max(self._cooldown_s, retry_after_s or 0.0)

    def abandon(self) -> None:
        """The call was given up before it told anything of the tier."""
        self._probing = False


class RetryBudget:
    """Retries are at most `RETRY_SHARE` of the requests, plus `RETRY_START`."""

    def __init__(self) -> None:
        self._left = RETRY_START

    def earn(self) -> None:
        """A request pays in its share."""
        self._left = min(self._left + RETRY_SHARE, RETRY_CEILING)

    def spend(self) -> bool:
        """Whether one more try is paid for; takes it."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
