"""What a learner knows from turn to turn, and that as text: JSON under a checksum."""

import hashlib
import json
from dataclasses import asdict
from typing import Any, Self

import numpy as np

from controlplane.learn import baselines, judge
from controlplane.learn.drift import Watch
from controlplane.learn.evidence import Evidence
from controlplane.learn.prior import NONE as NO_PRIOR
from controlplane.learn.prior import Prior
from controlplane.learn.quality import QualityPredictor
from controlplane.learn.settings import LearnerSettings
from controlplane.learn.usage import Usage

SCHEMA = 12
COUNTERS = ("observed", "labelled", "proposed_at", "considered_at", "binned_at", "seated_at")


class State:
    """All that it knows. ``tiers`` are named from the cheapest to the dearest."""

    def __init__(
        self,
        tiers: tuple[str, ...],
        settings: LearnerSettings | None = None,
        prior: Prior = NO_PRIOR,
    ) -> None:
        self.tiers = tiers
        self.settings = settings or LearnerSettings()
        self.prior = prior.of(len(tiers))
        self.trust = 1.0  # share of what the prior says of the local tier that alarms left
        self.evidence = Evidence(self.settings.contexts, self.settings.records)
        self.quality = [QualityPredictor.restore(each) for each in self.prior.predictors]
        self.usage = Usage()
        self.watch = Watch(self.settings)
        self.baseline = baselines.chosen(self.settings.bandit)
        self.observed = 0
        self.labelled = 0
        self.proposed_at = 0
        self.considered_at = 0
        self.binned_at = 0
        self.seated_at = 0  # when the tiers became these
        self.bins: judge.Bins | None = None
        self._alarms: list[str] = []  # not told yet; the turn that saves this tells them

    def to_json(self) -> str:
        """The whole state with its schema version and checksum."""
        body = {
            "schema": SCHEMA,
            "tiers": self.tiers,
            "evidence": self.evidence.state(),
            "quality": [each.state() for each in self.quality],
            "prior": self.prior.beliefs().to_json(),
            "trust": self.trust,
            "usage": self.usage.state(),
            "watch": self.watch.state(),
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "bins": {k: v.tolist() for k, v in asdict(self.bins).items()} if self.bins else None,
        }
        if self.baseline is not None:
            body["baseline"] = self.baseline.state()
        text = json.dumps(body, separators=(",", ":"))
        return json.dumps({"checksum": _checksum(text), "body": text})

    @classmethod
    def from_json(cls, text: str, settings: LearnerSettings | None = None) -> Self:
        """Inverse of ``to_json``; raises ``ValueError`` for a damaged or unknown state."""
        body = _opened(text)
        known = cls(tuple(body["tiers"]), settings, Prior.from_json(body["prior"]))
        known.trust = body["trust"]
        known.evidence.restore(body["evidence"])
        known.quality = [QualityPredictor.restore(each) for each in body["quality"]]
        known.usage.restore(body["usage"])
        known.watch.restore(body["watch"])
        if known.baseline is not None:
            known.baseline.restore(body.get("baseline"))
        for name in COUNTERS:
            setattr(known, name, body["counters"][name])
        columns = body["bins"]
        known.bins = columns and judge.Bins(*(np.array(columns[k]) for k in ("edges", "raw", "z")))
        return known


def _opened(text: str) -> dict[str, Any]:
    envelope = json.loads(text)
    if envelope["checksum"] != _checksum(envelope["body"]):
        raise ValueError("learner state: the checksum does not match")
    body: dict[str, Any] = json.loads(envelope["body"])
    if body["schema"] != SCHEMA:
        raise ValueError(f"learner state: schema {body['schema']} is unknown, {SCHEMA} is read")
    return body


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
