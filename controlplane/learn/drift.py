"""Drift, by ADWIN on signals that the policy does not move (METHODS section 4).

Both are measured against a *reference*, frozen from what had been learned by then: p_hat of each
query, which moves when the mix does; and how far up each judge score stands among those that its
query was expected to get, which moves when the judge or the local tier does. Which queries are
judged is the policy's choice by x alone, and a score's standing is conditional on x: uniform on
[0, 1] under every policy while the reference holds.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from river.drift import ADWIN

from controlplane.learn.quality import packed_estimator, unpacked_estimator
from dataplane.contract.rule import Array, logit
from dataplane.contract.terms import Frozen, JudgeTable, LinearEstimator, Platt
from dataplane.features import Features

DELTA = 0.002
KEPT = 2500  # ADWIN is rebuilt from the kept values, so that its state is plain JSON


class Reference(Frozen):
    """What the signals are measured against."""

    estimator: LinearEstimator
    calibration: Platt
    judge: JudgeTable

    def state(self) -> dict[str, Any]:
        """As JSON values, the weights packed: a dense estimator is 130 kB of them."""
        rest = self.model_dump(exclude={"estimator"})
        return rest | {"estimator": packed_estimator(self.estimator)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Reference":
        """Inverse of ``state``."""
        return cls(**state | {"estimator": unpacked_estimator(state["estimator"])})

    def p_hat(self, features: Features) -> float:
        """The query's p_hat, as it was when this was frozen."""
        return self.estimator.p_hat(features)

    def standing(self, p_hat: float | Array, score: float | Array) -> Array:
        """The share of scores expected of such a query that lie below this one, ties halved."""
        bins = self.judge.bins
        p = self.calibration.probability(logit(p_hat))[..., None]
        expected = p * bins.f1 + (1 - p) * bins.f0
        at = np.searchsorted(bins.edges, self.judge.clipped(score), side="right")[..., None]
        middle = np.cumsum(expected, axis=-1) - expected / 2
        return np.asarray(np.take_along_axis(middle, at, axis=-1)[..., 0])


class DriftDetector:
    """ADWIN over at most ``2 * KEPT`` values; its state is the values themselves."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.restart(values)

    def restart(self, values: Iterable[float] = ()) -> None:
        """Forget all but these values."""
        self._values: list[float] = []
        self._adwin = ADWIN(delta=DELTA)
        for value in values:
            self._feed(value)

    def update(self, value: float) -> bool:
        """Whether this value raises an alarm; the detector then starts afresh."""
        self._feed(value)
        alarm = bool(self._adwin.drift_detected)
        if alarm:
            self.restart()
        elif len(self._values) >= 2 * KEPT:
            self.restart(self._values[-KEPT:])
        return alarm

    def _feed(self, value: float) -> None:
        self._values.append(round(value, 4))
        self._adwin.update(self._values[-1])

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {"values": list(self._values)}
