"""Alerts: events that a person should see are told to the operator's webhook, in their order.

At least once: how far the receiver was told moves after its 2xx, by compare-and-swap. What it does
not take is tried again, more and more rarely, and holds up what comes after it until it is given
up: where the receiver refuses it, ``REFUSED_FOR`` after the first attempt; else once it is
``STALE_AFTER`` old, in which case nobody was there for days.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import errors
from pydantic import AwareDatetime, BaseModel, ConfigDict

from controlplane import states
from controlplane.connection import Connect, Connection
from controlplane.leader import Leader, NotLeaderError
from controlplane.sql import SQL
from controlplane.webhook import Said, Webhook
from dataplane.contract.alerting import Alerts

log = logging.getLogger(__name__)

TOLD = "alerts"  # the row that remembers how far the receiver was told
MOST = 20  # alerts in one run
RUN_S = 10.0  # after which a run begins no further one
FIRST_LOOK_BACK = timedelta(hours=1)  # where nothing was ever told
REFUSED_FOR = timedelta(hours=1)
STALE_AFTER = timedelta(days=3)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=10)

OPENINGS = {
    "alarm": "Something changed",
    "gate": "The judge's gate moved",
    "certificate": "A cutoff was put to the test",
    "certificate_void": "A certificate is void",
    "rollback": "A policy was rolled back",
    "drift": "The traffic drifted",
    "conflict": "A policy was not published, another came first",
    "refused": "A change of penstock.yaml was refused",
    "objective": "The objective changed",
    "proposal": "A proposal moved",
    "retune": "The policy was retuned",
    "pin": "A policy was pinned",
    "freeze": "The freeze switch was set",
}

Event = Mapping[str, Any]


class Trouble(BaseModel):
    """An alert that was tried in vain, and when it is due again."""

    model_config = ConfigDict(extra="forbid")

    event: int
    since: AwareDatetime
    attempts: int
    due_at: AwareDatetime


class Told(BaseModel):
    """How far the receiver was told: all events up to ``after``. Counts are of all times."""

    model_config = ConfigDict(extra="forbid")

    after: int
    sent: int = 0
    failures: int = 0
    given_up: int = 0
    trouble: Trouble | None = None

    def waits(self, event: Event, now: datetime) -> bool:
        """Whether this event is not due yet."""
        known = self.trouble
        return known is not None and known.event == event["id"] and now < known.due_at

    def on(self, event: Event, said: Said, now: datetime) -> "Told":
        """What is so after an attempt."""
        if said.ending == "sent":
            return self._past(event, sent=self.sent + 1)
        failed = self.model_copy(update={"failures": self.failures + 1})
        trouble = self._trouble(event, now)
        if said.ending == "refused" and now - trouble.since >= REFUSED_FOR:
            return failed.without(event)
        return failed.model_copy(update={"trouble": trouble})

    def without(self, event: Event) -> "Told":
        """What is so once it is given up."""
        return self._past(event, given_up=self.given_up + 1)

    def _past(self, event: Event, **counts: int) -> "Told":
        return self.model_copy(update={"after": event["id"], "trouble": None} | counts)

    def _trouble(self, event: Event, now: datetime) -> Trouble:
        known = self.trouble
        same = known if known and known.event == event["id"] else None
        attempts = 1 + (same.attempts if same else 0)
        wait = min(FIRST_WAIT * 2 ** min(attempts - 1, 16), LONGEST_WAIT)
        since = same.since if same else now
        return Trouble(event=event["id"], since=since, attempts=attempts, due_at=now + wait)


class AlertJob:
    """Tells the webhook what is new. Only the leader's word counts."""

    def __init__(
        self, connect: Connect, leader: Leader, webhook: Webhook, settings: Alerts
    ) -> None:
        self._connect = connect
        self._leader = leader
        self._webhook = webhook
        self._kinds = list(settings.kinds)
        self._deployment = settings.deployment

    def run(self, now: datetime) -> str | None:
        """One batch, in words; raises ``NotLeaderError`` where another took over meanwhile."""
        found = self._new(now)
        if found is None:
            return "events are being written"
        told, checksum, events = found
        began, sent = time.monotonic(), told.sent
        for event in events:
            if told.waits(event, now) or time.monotonic() - began > RUN_S:
                break
            said = self._tell(event, now)
            then = told.without(event) if said is None else told.on(event, said, now)
            checksum = self._remember(then, checksum)
            if then.given_up > told.given_up:
                log.warning("alert %s (%s) is given up", event["id"], event["kind"])
            told = then
            if told.trouble:
                return f"{told.sent - sent} sent, then {said.words if said else 'stale'}"
        return f"{told.sent - sent} sent" if told.sent > sent else None

    def _new(self, now: datetime) -> tuple[Told, str, Sequence[Event]] | None:
        """What is to be told; None while somebody writes events.

        Numbers are given before their transactions commit: only with no writer about is it sure
        that no lower one is still to come.
        """
        with self._connect() as connection:
            try:
                connection.execute("LOCK TABLE events IN SHARE MODE NOWAIT")
            except errors.LockNotAvailable:
                connection.rollback()
                return None
            told, checksum = self._told(connection, now)
            row = {"after": told.after, "kinds": self._kinds, "limit": MOST}
            events = connection.execute(SQL["events_to_tell"], row).fetchall()
            reached = connection.execute(SQL["newest_event"]).fetchone()
            if not events and reached and reached["id"] > told.after:
                told = told.model_copy(update={"after": reached["id"]})
                checksum = states.save(connection, TOLD, told.model_dump_json())
        return told, checksum, events

    def _told(self, connection: Connection, now: datetime) -> tuple[Told, str]:
        before = connection.execute(SQL["last_event_before"], {"at": now - FIRST_LOOK_BACK})
        first = Told(after=(before.fetchone() or {"id": 0})["id"])
        checksum = states.lock(connection, TOLD, first.model_dump_json())
        return progress(connection) or first, checksum

    def _tell(self, event: Event, now: datetime) -> Said | None:
        """None: too old to be told."""
        if now - event["at"] >= STALE_AFTER:
            return None
        return self._webhook.post(
            f"{self._deployment}_{event['id']}", body(event, self._deployment), now
        )

    def _remember(self, told: Told, checksum: str) -> str:
        with self._connect() as connection:
            self._leader.check()
            if states.lock(connection, TOLD, told.model_dump_json()) != checksum:
                raise NotLeaderError("another control plane sends these alerts")
            return states.save(connection, TOLD, told.model_dump_json())


def progress(connection: Connection) -> Told | None:
    """How far the receiver was told, None before the first run."""
    saved = states.load(connection, TOLD)
    return None if saved is None else Told.model_validate_json(saved)


def body(event: Event, deployment: str) -> bytes:
    """An event as the receiver reads it: JSON, UTF-8."""
    told = {
        "id": event["id"],
        "at": event["at"].astimezone(UTC).isoformat(),
        "kind": event["kind"],
        "summary": summary(event["kind"], event["body"]),
        "body": event["body"],
        "deployment": deployment,
    }
    return json.dumps(told, ensure_ascii=False).encode()


def summary(kind: str, told: Mapping[str, Any]) -> str:
    """An event in a sentence.

    >>> summary("alarm", {"reason": "p_hat moved"})
    'Something changed: p_hat moved.'
    """
    opening = OPENINGS.get(kind, kind.replace("_", " "))
    details = told.get("reason") or ", ".join(f"{name} {value}" for name, value in told.items())
    return f"{opening}: {details}".rstrip(".: ") + "."
