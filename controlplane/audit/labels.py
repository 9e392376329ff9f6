"""Label tasks in the tables: lease, submit, expire. Each call is one transaction of its caller.

A person's vote settles a task, unless it wants a second one; where two disagree a third person
adjudicates. A program's word stands alone, if the objective accepts its source, and is kept as a
mere vote if not. No labeller is told which of this happened, so all of them are blind.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from controlplane.audit.votes import Vote, disputed, heard, settle
from controlplane.connection import Connection
from controlplane.observe import DecisionKey, Wanted, arrays, key_of
from controlplane.sql import SQL
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import Outcome, Source, outcome_id
from dataplane.contract.terms import TRUSTED


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a labeller may keep a task, a task waits for its shadow, for a second person, and
    for a label at all; how many want two, how far apart these may be, and whose word is the truth.
    """

    lease: timedelta = timedelta(minutes=5)
    patience: timedelta = timedelta(minutes=2)
    second: timedelta = timedelta(days=1)
    expiry: timedelta = timedelta(days=7)
    double: float = 0.15
    tolerance: float = 0.25
    accepts: tuple[Source, ...] = TRUSTED


def accepting(terms: Terms, live: PolicyDocument) -> Terms:
    """The terms, with the sources that the live objective takes for the truth."""
    return replace(terms, accepts=live.objective.accepts)


def lease(
    connection: Connection,
    labeller: Labeller,
    limit: int,
    now: datetime,
    terms: Terms,
    skipped: Sequence[UUID] = (),
) -> list[Task]:
    """Up to ``limit`` tasks for this labeller, the oldest first; none is leased to two.

    None is of the ``skipped`` decisions.
    """
    until = now + terms.lease
    leased = connection.execute(
        SQL["lease_label_tasks"],
        {
            "holder": labeller.holder,
            "labeller": labeller.name,
            "program": not labeller.person,
            "until": until,
            "now": now,
            "patience": now - terms.patience,
            "limit": limit,
            "skipped": list(skipped),
        },
    ).fetchall()
    wanted = sorted(key_of(row) for row in leased)
    words = _texts(connection, wanted)
    return [_show(connection, key, words[key.id], until) for key in wanted]


def give_back(connection: Connection, labeller: Labeller, decision: DecisionKey) -> bool:
    """End this labeller's lease; whether there was one."""
    row = decision._asdict() | {"holder": labeller.holder}
    return connection.execute(SQL["return_label_task"], row).rowcount == 1


def waiting(connection: Connection, labeller: Labeller, skipped: Sequence[UUID] = ()) -> int:
    """Tasks that nobody holds and this labeller may: now, or when their words have arrived."""
    asked = {
        "labeller": labeller.name, "program": not labeller.person, "skipped": list(skipped),
    }  # fmt: skip
    row = connection.execute(SQL["waiting_label_tasks"], asked).fetchone()
    return int(row["tasks"]) if row else 0


def submit(
    connection: Connection,
    labeller: Labeller,
    decision: DecisionKey,
    verdicts: Sequence[Verdict],
    now: datetime,
    terms: Terms | None = None,
) -> Resolution:
    """Take a labeller's verdicts on a leased task; said again, the same verdicts change nothing.

    Returns what was said, not what became of the task. Raises ``LabelError`` with the reason; then
    nothing was written.
    """
    task = connection.execute(SQL["lock_label_task"], decision._asdict()).fetchone()
    if task is None:
        raise UnknownTaskError(f"decision {decision.id} was not drawn: there is nothing to label")
    before = _votes(connection, decision)
    if said := before.get(labeller.name):
        return _again(said, labeller, decision, unblind(task["answers"], verdicts))
    _check_open(task, decision)
    _check_lease(task, labeller, now)
    told = unblind(task["answers"], verdicts)
    _cast(connection, labeller, decision, told, now)
    vote = Vote(labeller.name, labeller.source, told)
    votes = [*(held.vote for held in before.values()), vote]
    _decide(connection, decision, task, votes, now, terms or Terms())
    return "labelled" if told else "unsure"


def expire(connection: Connection, now: datetime, terms: Terms) -> int:
    """Give up tasks that waited too long, and forget the words of all that is resolved.

    Where somebody told of one, and no second labeller came in time, that word settles it.
    """
    row = {"now": now, "before": now - terms.expiry, "alone": now - terms.second}
    for lone in connection.execute(SQL["lone_label_tasks"], row).fetchall():
        decision = key_of(lone)
        votes = [held.vote for held in _votes(connection, decision).values()]
        if (told := heard(votes, terms.accepts)) and not disputed(told, terms.tolerance):
            _resolve(connection, decision, told, now)
    expired = connection.execute(SQL["expire_label_tasks"], row).rowcount
    forget(connection)
    return expired


def forget(connection: Connection, decision: DecisionKey | None = None) -> int:
    """Delete the texts of queries whose draws are all resolved, of one or of all; how many."""
    key = decision._asdict() if decision else {"at": None, "id": None}
    return connection.execute(SQL["forget_texts"], key).rowcount


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
    order = {"answers": Jsonb(blind_order(decision.id, answered))}
    shown = connection.execute(SQL["show_answers"], decision._asdict() | order).fetchone()
    tiers = shown["answers"] if shown else []
    answers = (
        BlindAnswer(letter, words[ANSWER + tier])
        for letter, tier in zip(LETTERS, tiers, strict=False)
    )
    return Task(decision.id, decision.at, json.loads(words[PROMPT]), tuple(answers), until)


@dataclass(frozen=True, slots=True)
class _Held:
    """A vote that was cast, and the holder who cast it."""

    vote: Vote
    holder: str


def _votes(connection: Connection, decision: DecisionKey) -> dict[str, _Held]:
    """All that was said of a query, by labeller; applications told of themselves."""
    found: dict[str, _Held] = {}
    for row in connection.execute(SQL["votes_of"], decision._asdict()):
        vote = Vote(row["labeller"], row["source"])
        held = found.setdefault(row["labeller"], _Held(vote, row["holder"]))
        if row["key"] is not None:
            held.vote.values[row["key"]] = row["value"]
    return found


def _cast(
    connection: Connection,
    labeller: Labeller,
    decision: DecisionKey,
    told: Mapping[str, float],
    now: datetime,
) -> None:
    vote = {"labeller": labeller.name, "holder": labeller.holder, "source": labeller.source}
    connection.execute(SQL["add_vote"], decision._asdict() | vote | {"now": now})
    for tier, value in told.items():
        outcome = _outcome(labeller, decision, tier, value, now)
        connection.execute(SQL["add_outcome"], outcome.model_dump())


def _decide(
    connection: Connection,
    decision: DecisionKey,
    task: Mapping[str, Any],
    votes: Sequence[Vote],
    now: datetime,
    terms: Terms,
) -> None:
    """What the last of these votes does to its task: settles it, or leaves it to another."""
    last, told = votes[-1], heard(votes, terms.accepts)
    people = [vote for vote in told if vote.source == "ground_truth"]
    if last not in told:
        _reopen(connection, decision, task["disputed"])
    elif last not in people:
        _resolve(connection, decision, told, now)
    elif task["disputed"]:
        _resolve(connection, decision, told, now, task["disputed"], last.labeller)
    elif torn := disputed(people, terms.tolerance):
        _reopen(connection, decision, torn)
    elif task["doubled"] and len(people) == 1:
        _reopen(connection, decision, [])
    else:
        _resolve(connection, decision, told, now)


def _resolve(
    connection: Connection,
    decision: DecisionKey,
    told: Sequence[Vote],
    now: datetime,
    torn: Sequence[str] = (),
    adjudicator: str | None = None,
) -> None:
    labels = settle(told, torn, adjudicator)
    moment = decision._asdict() | {"now": now}
    for label in labels:
        connection.execute(SQL["add_label"], moment | asdict(label))
    status = {"status": "labelled" if labels else "unsure", "adjudicator": adjudicator}
    connection.execute(SQL["resolve_label_task"], moment | status)


def _reopen(connection: Connection, decision: DecisionKey, torn: Sequence[str]) -> None:
    row = decision._asdict() | {"disputed": list(torn)}
    connection.execute(SQL["reopen_label_task"], row)


def _check_open(task: Mapping[str, Any], decision: DecisionKey) -> None:
    if task["status"] in ("labelled", "unsure"):
        how = "adjudicated" if task["disputed"] else "labelled by another"
        raise AlreadyResolvedError(f"decision {decision.id} was {how}: its label stands")


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
    held: _Held, labeller: Labeller, decision: DecisionKey, told: Mapping[str, float]
) -> Resolution:
    """A repeat of what this labeller said before is acknowledged, anything else refused."""
    if held.holder != labeller.holder:
        raise AlreadyResolvedError(f"decision {decision.id} was labelled by another")
    if told != held.vote.values:
        raise AlreadyResolvedError(f"decision {decision.id} has your label: it cannot be changed")
    return "labelled" if told else "unsure"


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
