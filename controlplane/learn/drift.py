"""Drift, on three signals that the policy does not move (docs/methods.md, section 4).

Two need no label. ADWIN measures them against a *reference*, frozen from what had been learned by
then: p_hat of each query, which moves when the mix does; and how far up each judge score stands
among those that its query was expected to get, which moves when the judge or the local tier does.
Which queries are judged is the policy's choice by x alone, and a score's standing is conditional on
x: uniform on [0, 1] under every policy while the reference holds. The third is labels (``cusum``).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from river.drift import ADWIN

from controlplane.learn.cusum import LabelCharts
from controlplane.learn.evidence import Record
from controlplane.learn.quality import packed_estimator, unpacked_estimator
from controlplane.learn.settings import LearnerSettings
from controlplane.learn.traffic import Columns, Traffic, log_odds, side_by_side
from controlplane.observations import Observation
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, expit, logit, picked
from dataplane.contract.terms import Frozen, JudgeTable, LinearEstimator, Platt, Trust
from dataplane.features import Features

DELTA = 0.02
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

    def p_hat(self, queries: Sequence[Features]) -> Array:
        """The p_hat of queries (N,), as it was when this was frozen."""
        return expit(log_odds(self.estimator, *side_by_side(queries)))

    def standing(self, p_hat: float | Array, score: float | Array) -> Array:
        """The share of scores expected of such a query that lie below this one, ties halved."""
        bins = self.judge.bins
        p = self.calibration.probability(logit(p_hat))[..., None]
        expected = p * bins.f1 + (1 - p) * bins.f0
        at = np.searchsorted(bins.edges, self.judge.clipped(score), side="right")
        middle = np.cumsum(expected, axis=-1) - expected / 2
        return picked(middle, at)


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

    def update(self, value: float) -> int | None:
        """How many of the last values are others than before, if this one raises an alarm.

        The detector then starts afresh.
        """
        self._feed(value)
        if self._adwin.drift_detected:
            changed = int(self._adwin.width)
            self.restart()
            return changed
        if len(self._values) >= 2 * KEPT:
            self.restart(self._values[-KEPT:])
        return None

    def _feed(self, value: float) -> None:
        self._values.append(round(value, 4))
        self._adwin.update(self._values[-1])

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {"values": list(self._values)}


Signal: TypeAlias = Literal["mix", "judge", "labels"]


class Alarm(NamedTuple):
    """A detector's alarm, and since when things are others than they were, in observations."""

    signal: Signal
    at: int
    since: int

    @property
    def of_answers(self) -> bool:
        """Whether the judge or a tier changed, and not only the mix of queries."""
        return self.signal != "mix"

    @property
    def words(self) -> str:
        """What happened, and what is done about it."""
        what = {
            "mix": "the mix of queries changed (ADWIN on p_hat",
            "judge": "the judge's scores are not as expected (ADWIN on their standing",
            "labels": "labels are not as expected (risk-adjusted CUSUM",
        }[self.signal]
        return (
            f"{what}, at observation {self.at}, since about {self.since}): "
            "older labels fade, more queries are audited and shadowed"
        )


class Watch:
    """All detectors, and what they measure against. Places ``at`` count observations."""

    def __init__(self, settings: LearnerSettings) -> None:
        self._settings = settings
        self._mix = DriftDetector()
        self._scores = DriftDetector()
        self._labels = LabelCharts()
        self._reference: Reference | None = None
        self._referred = 0  # labels behind the reference
        self._last: Alarm | None = None
        self._trust: Trust | None = None
        self._trusted_at = 0

    def follow(self, trust: Trust, at: int) -> None:
        """Whether the judge decides from here on.

        Where that changes other answers are judged, and how far up their scores stand is no news:
        p_hat does not say all that a score hinges on.
        """
        if trust != self._trust:
            self._trust, self._trusted_at = trust, at
            self._scores.restart()

    def p_hats(self, queries: Sequence[Features]) -> list[float | None]:
        """What ``see`` wants to know of queries beside themselves; all at once is far cheaper."""
        if self._reference is None or not queries:
            return [None] * len(queries)
        return [*self._reference.p_hat(queries).tolist()]

    def see(self, seen: Observation, p_hat: float | None, at: int, recent: Traffic) -> Alarm | None:
        """One more query, the last of the ``recent`` ones, and the alarm that it raises."""
        reference = self._reference
        if reference is None or p_hat is None:
            return None
        changed = self._mix.update(p_hat)
        if changed is not None:
            return self._alarm("mix", at, at - changed)
        if seen.score is None or self._referred < self._settings.judged_labels:
            return None
        changed = self._scores.update(float(reference.standing(p_hat, seen.score)))
        return None if changed is None else self._alarm("judge", at, at - recent.judged(changed))

    def _alarm(self, signal: Signal, at: int, since: int) -> Alarm:
        self._last = Alarm(signal, at, since)
        self._labels.restart()
        self._reference = None
        return self._last

    def label(self, record: Record, p_hat: Sequence[float], at: int) -> Alarm | None:
        """One more label, of a query of this p_hat to each tier, and the alarm that it raises."""
        since = self._labels.see(record, p_hat, at)
        return None if since is None else self._alarm("labels", at, since)

    def alarmed_within(self, queries: int, at: int, *, of_answers: bool = False) -> bool:
        """Whether the last alarm is less than so many old, and of answers if only those count."""
        last = self._last
        if last is None or at - last.at >= queries:
            return False
        return last.of_answers or not of_answers

    def due(self, labels: int, at: int) -> bool:
        """Whether a reference should be frozen: there is none, or labels have doubled since."""
        enough = labels >= max(self._settings.reference_labels, 2 * self._referred)
        settled = not self.alarmed_within(self._settings.careful, at)
        return settled and (enough or (self._reference is None and self._referred > 0))

    def expect(self, draft: PolicyDocument, known: Sequence[bool]) -> None:
        """Hold the next labels of tiers that are ``known`` against what this draft believes."""
        self._labels.expect(draft, known)

    def seat(self) -> None:
        """Other tiers: nothing is expected of their labels until the next draft."""
        self._labels.restart()

    def refer(self, draft: PolicyDocument, labels: int, recent: Columns, at: int) -> None:
        """Freeze a reference; later queries are compared with what it makes of the recent ones.

        Of scores only with those since the judge's say last changed.
        """
        calibration = draft.segments[0].calibration
        reference = Reference(
            estimator=draft.estimators[0], calibration=calibration, judge=draft.judge
        )
        self._reference, self._referred = reference, labels
        p_hat, judged = recent.p_hat[:, 0], ~np.isnan(recent.score)
        judged[: max(len(judged) - (at - self._trusted_at), 0)] = False
        standing = reference.standing(p_hat[judged], recent.score[judged])
        self._mix.restart(p_hat.tolist())
        self._scores.restart(standing.tolist())

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "mix": self._mix.state(),
            "scores": self._scores.state(),
            "reference": self._reference and self._reference.state(),
            "referred": self._referred,
            "labels": self._labels.state(),
            "last": self._last,
            "trust": self._trust,
            "trusted_at": self._trusted_at,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        self._mix = DriftDetector(state["mix"]["values"])
        self._scores = DriftDetector(state["scores"]["values"])
        self._labels.restore(state["labels"])
        self._reference = state["reference"] and Reference.restored(state["reference"])
        self._referred, last = state["referred"], state["last"]
        self._last = last and Alarm(*last)
        self._trust, self._trusted_at = state["trust"], state.get("trusted_at", 0)
