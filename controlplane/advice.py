"""Advice on the store: the learner's saved state, asked which mode fits the traffic it saw."""

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from controlplane import registry, states
from controlplane.connection import Connection
from controlplane.cycle import LEARNER
from controlplane.learn.advise import Advice
from controlplane.learn.learner import Learner
from controlplane.learn.pull import UNCERTIFIED, lacks_certificate
from controlplane.learn.settings import LearnerSettings
from controlplane.learn.verdict import verdict
from dataplane.contract.terms import Mode

NOTHING = Advice(mode=None, quality=0.0, labels=0.0)


@dataclass(frozen=True, slots=True)
class Given:
    """Advice given at a moment: under which policy, which serves ``serves``, and in words."""

    at: datetime
    policy_version: int
    serves: Mode
    verdict: str
    advice: Advice

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"at": self.at.isoformat()}


def give(connection: Connection, settings: LearnerSettings, now: datetime) -> Given:
    """The advice of what was learned by now; nothing is written.

    Raises ``UnknownVersionError`` before the first policy, ``CorruptStateError`` for a state that
    is not what was written or was written by another version.
    """
    live = registry.live(connection)
    learner = restored(connection, settings)
    advice = (learner and learner.advise(live, now)) or NOTHING
    said = verdict(advice)
    if lacks_certificate(live):
        said = f"{said} But {UNCERTIFIED}."
    return Given(now, live.version, live.segments[0].mode, said, advice)


def restored(connection: Connection, settings: LearnerSettings) -> Learner | None:
    """The learner as it was saved last, to be asked and not to be saved; None before it ever was.

    Raises ``CorruptStateError``.
    """
    body = states.load(connection, LEARNER)
    if body is None:
        return None
    return states.understood(LEARNER, body, partial(Learner.from_json, settings=settings))
