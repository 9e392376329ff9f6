"""Where the live judge's gates stand: read for reports, and opened by an operator's word."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controlplane import registry, states
from controlplane.audit.trial import Evidence, Trial
from controlplane.audit.trust import Key, Trust, openable, terms
from controlplane.connection import Connection
from controlplane.cycle import TRUST, load_trust
from controlplane.events import record_event
from controlplane.explain import shelf
from controlplane.push import succeed, summary
from controlplane.stats.gate import Standing
from dataplane.contract.errors import OperatorError
from dataplane.contract.policy import PolicyDocument


class NotEarnedError(OperatorError):
    """There is no opening to accept."""


@dataclass(frozen=True, slots=True)
class GateReport:
    """A gate as it stands: what it was told since then, and what moved it last."""

    key: Key
    standing: Standing
    since: datetime | None
    evidence: Evidence
    proof: Evidence | None
    waits: bool  # for an operator
    barred: bool = False  # an opening was earned, and the live policy may accept no answer yet

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        missing = self.evidence.pairs_missing if self.standing == "closed" else None
        told = {
            "standing": self.standing,
            "since": self.since and self.since.isoformat(),
            "words": self.words,
            "waits_for_operator": self.waits,
            "pairs_missing": missing,
        }
        return told | self.evidence.to_json() | {"proof": self.proof and self.proof.to_json()}

    @property
    def words(self) -> str:
        """In a sentence."""
        since = f" since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.since else ""
        closed = self.standing == "closed"
        found = self.evidence.words if closed else self.evidence.words_of_closing
        said = f"gate {self.standing}{since}: judging is {found}"
        if self.waits:
            return f"{said}; open it by `penstock judge accept --segment {self.key.segment}`"
        if self.barred:
            return f"{said}; it opens once the policy may accept an answer"
        if not closed:
            return said
        missing = self.evidence.pairs_missing
        pace = "not nearing an opening yet" if missing is None else f"{missing} more pairs would do"
        return f"{said}; at this pace, {pace}"


def stand(connection: Connection, live: PolicyDocument | None = None) -> dict[str, GateReport]:
    """By segment of the live policy; raises ``UnknownVersionError`` before the first policy."""
    live = live or registry.live(connection)
    body = states.load(connection, TRUST)
    trust = Trust.from_json(body, shelf(connection)) if body else Trust(shelf(connection))
    trust.agree(live, live.issued_at)
    return {key.segment: _report(key, trial, live) for key, trial in trust.of(live)}


def _report(key: Key, trial: Trial, live: PolicyDocument) -> GateReport:
    stands, may = trial.gate.standing, openable(live, live.segment(key.segment))
    earned = stands == "earned"
    waits = earned and may and live.trust.opens == "when_accepted"
    evidence = trial.evidence(terms(live))
    return GateReport(key, stands, trial.since, evidence, trial.proof, waits, earned and not may)


def accept(connection: Connection, segment: str, now: datetime, who: str) -> PolicyDocument:
    """Publish the opening that the judge earned in a segment, on an operator's word.

    Raises ``NotEarnedError`` where none was earned, ``ConflictError``; then nothing is published.
    """
    live, trust = registry.live(connection), load_trust(connection)
    successor = trust.verdict(live, now, accepted=(segment,))
    stands = {key.segment: trial.gate.standing for key, trial in trust.of(live)}
    opens = successor is not None and successor.segment(segment).trust == "open"
    if successor is None or stands.get(segment) != "earned" or not opens:
        known = f"it is {stands[segment]}" if segment in stands else "there is no such segment"
        if stands.get(segment) == "earned" and not openable(live, live.segment(segment)):
            known = "it is earned, but the live policy may accept no answer yet"
        raise NotEarnedError(f"segment {segment} has no opening to accept: {known}")
    policy = succeed(connection, live, successor)
    record_event(connection, policy.kind, summary(policy) | {"by": who})
    return policy
