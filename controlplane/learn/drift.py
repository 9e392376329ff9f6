"""Drift of the mix, by ADWIN on a signal that the policy does not move.

The signal is p_hat under a *reference* estimator, frozen when it had learned enough: it changes
when the traffic changes, not when the learner or its policies do (METHODS section 4).
"""

from collections.abc import Iterable
from typing import Any

from river.drift import ADWIN

DELTA = 0.002
KEPT = 4000  # ADWIN is rebuilt from the kept values, so that its state is plain JSON


class DriftDetector:
    """ADWIN over at most ``2 * KEPT`` values; its state is the values themselves."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._restart(values)

    def _restart(self, values: Iterable[float]) -> None:
        self._values: list[float] = []
        self._adwin = ADWIN(delta=DELTA)
        for value in values:
            self._feed(value)

    def update(self, value: float) -> bool:
        """Whether this value raises an alarm; the detector then starts afresh."""
        self._feed(value)
        alarm = bool(self._adwin.drift_detected)
        if alarm:
            self._restart(())
        elif len(self._values) >= 2 * KEPT:
            self._restart(self._values[-KEPT:])
        return alarm

    def _feed(self, value: float) -> None:
        self._values.append(round(value, 4))
        self._adwin.update(self._values[-1])

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {"values": list(self._values)}
