"""Label tasks in the tables: lease, submit, expire. Each call is one transaction of its caller."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from controlplane.audit.tasks import (
    ANSWER,
    LETTERS,
    PROMPT,
    AlreadyResolvedError,
    BlindAnswer,
    ForeignLeaseError,
    Labeller,
    Resolution,
    Task,
    TaskExpiredError,
    UnknownTaskError,
    Verdict,
    blind_order,
    unblind,
)
from controlplane.connection import Connection
from controlplane.observe import DecisionKey, Wanted, arrays, key_of
from controlplane.sql import SQL
from dataplane.contract.records import Outcome, outcome_id


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a labeller may keep a task, a task waits for its shadow, and for a label at all."""

    lease: timedelta = timedelta(minutes=5)
    patience: timedelta = timedelta(minutes=2)
    expiry: timedelta = timedelta(days=7)


def lease(
    connection: Connection, labeller: Labeller, limit: int, now: datetime, terms: Terms
) -> list[Task]:
    """Up to ``limit`` tasks for this labeller, the oldest first; none is leased to two."""
    until = now + terms.lease
    leased = connection.execute(
        SQL["lease_label_tasks"],
        {
            "holder": labeller.holder,
            "until": until,
            "now": now,
            "patience": now - terms.patience,
            "limit": limit,
        },
    ).fetchall()
    wanted = sorted(key_of(row) for row in leased)
    words = _texts(connection, wanted)
    return [_show(connection, key, words[key.id], until) for key in wanted]


def waiting(connection: Connection) -> int:
    """Tasks that nobody holds: ready to be leased, or soon, when their words have arrived."""
    row = connection.execute(SQL["waiting_label_tasks"]).fetchone()
    return int(row["tasks"]) if row else 0


def submit(
    connection: Connection,
    labeller: Labeller,
    decision: DecisionKey,
    verdicts: Sequence[Verdict],
    now: datetime,
) -> Resolution:
    """Take a labeller's verdicts on a leased task; said again, the same verdicts change nothing.

    Raises ``LabelError`` with the reason; then nothing was written.
    """
    task = connection.execute(SQL["lock_label_task"], decision._asdict()).fetchone()
    if task is None:
        raise UnknownTaskError(f"decision {decision.id} was not drawn: there is nothing to label")
    if task["status"] in ("labelled", "unsure"):
        return _again(connection, labeller, decision, task, verdicts)
    _check_lease(task, labeller, now)
    told = unblind(task["answers"], verdicts)
    for tier, value in told.items():
        outcome = _outcome(labeller, decision, tier, value, now)
        connection.execute(SQL["add_outcome"], outcome.model_dump())
    status: Resolution = "labelled" if told else "unsure"
    resolved = {"status": status, "now": now}
    connection.execute(SQL["resolve_label_task"], decision._asdict() | resolved)
    return status


def expire(connection: Connection, now: datetime, terms: Terms) -> int:
    """Give up tasks that waited too long, and forget the words of all that is resolved."""
    row = {"now": now, "before": now - terms.expiry}
    expired = connection.execute(SQL["expire_label_tasks"], row).rowcount
    forget(connection)
    return expired


def forget(connection: Connection) -> int:
    """Delete the texts of queries whose draws are all resolved; how many."""
    return connection.execute(SQL["forget_texts"]).rowcount


def _texts(connection: Connection, wanted: Wanted) -> dict[UUID, dict[str, str]]:
    words: dict[UUID, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(SQL["texts_of"], arrays(wanted)):
        words[row["decision_id"]][row["key"]] = row["body"]
    return words


def _show(
    connection: Connection, decision: DecisionKey, words: Mapping[str, str], until: datetime
) -> Task:
    """The task as the labeller sees it; which answer is which is kept with the task."""
    answered = [key.removeprefix(ANSWER) for key in words if key.startswith(ANSWER)]
    tiers = blind_order(decision.id, answered)
    connection.execute(SQL["show_answers"], decision._asdict() | {"answers": Jsonb(tiers)})
    answers = (
        BlindAnswer(letter, words[ANSWER + tier])
        for letter, tier in zip(LETTERS, tiers, strict=False)
    )
    return Task(decision.id, decision.at, json.loads(words[PROMPT]), tuple(answers), until)


def _check_lease(task: Mapping[str, Any], labeller: Labeller, now: datetime) -> None:
    if task["status"] == "expired":
        raise TaskExpiredError("the task expired before its label came")
    if task["status"] == "pending" or task["leased_by"] != labeller.holder:
        raise ForeignLeaseError(f"the task is not leased to {labeller.name}: lease it first")
    if task["leased_until"] <= now:
        raise TaskExpiredError(
            f"the lease ended at {task['leased_until'].isoformat()}: lease it again"
        )


def _again(
    connection: Connection,
    labeller: Labeller,
    decision: DecisionKey,
    task: Mapping[str, Any],
    verdicts: Sequence[Verdict],
) -> Resolution:
    """A repeat of what this labeller said before is acknowledged, anything else refused."""
    if task["leased_by"] != labeller.holder:
        raise AlreadyResolvedError(f"decision {decision.id} was labelled by another")
    asked = decision._asdict() | {"labeller": labeller.name, "source": labeller.source}
    said = {row["key"]: row["value"] for row in connection.execute(SQL["verdicts_of"], asked)}
    if unblind(task["answers"], verdicts) != said:
        raise AlreadyResolvedError(f"decision {decision.id} has your label: it cannot be changed")
    return "labelled" if said else "unsure"


def _outcome(
    labeller: Labeller, decision: DecisionKey, tier: str, value: float, now: datetime
) -> Outcome:
    return Outcome(
        id=outcome_id(decision.id, tier, labeller.source, labeller.name),
        decision_id=decision.id,
        at=decision.at,
        key=tier,
        source=labeller.source,
        value=value,
        labeller=labeller.name,
        observed_at=now,
    )
