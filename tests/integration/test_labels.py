"""Label tasks in the tables: leased once, graded blind, refused with a reason, forgotten."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from controlplane.audit import labels
from controlplane.audit.tasks import (
    AlreadyResolvedError,
    ForeignLeaseError,
    InvalidVerdictError,
    LabelError,
    Labeller,
    Task,
    TaskExpiredError,
    UnknownTaskError,
    Verdict,
)
from controlplane.connection import Connect, Connection
from controlplane.database import Database
from controlplane.observe import DecisionKey, PostgresLog
from dataplane.strategies import Drawn
from tests.traffic import AUDIT, PostgresTraffic, answer, query

ANNA, BOB = Labeller("anna", "key1"), Labeller("bob", "key1")
TERMS = labels.Terms()
SHADOW = Drawn("shadow", 0.05, "cloud")


def now() -> datetime:
    return datetime.now(UTC)


def observe(connection: Connection) -> None:
    PostgresLog(connection).new({})


def lease(connection: Connection, labeller: Labeller = ANNA, limit: int = 10) -> list[Task]:
    with connection.transaction():
        return labels.lease(connection, labeller, limit, now(), TERMS)


def submit(
    connection: Connection, task: Task, *values: float | None, labeller: Labeller = ANNA
) -> str:
    verdicts = [Verdict(a.key, v) for a, v in zip(task.answers, values, strict=False)]
    with connection.transaction():
        return labels.submit(
            connection, labeller, DecisionKey(task.at, task.decision_id), verdicts, now()
        )


def outcomes(connection: Connection) -> list[tuple[str, float, str, str]]:
    rows = connection.execute("SELECT key, value, source, labeller FROM outcomes ORDER BY key")
    return [(row["key"], row["value"], row["source"], row["labeller"]) for row in rows]


def test_a_task_shows_prompt_and_answer_and_nothing_else(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    assert lease(connection) == []  # nothing is asked for before it is observed
    observe(connection)
    (task,) = lease(connection)
    assert task.prompt == [{"role": "user", "content": "3 + 4 ="}]
    assert [(a.key, a.text) for a in task.answers] == [("a", "local says 7")]


def test_two_labellers_never_get_one_task(traffic: PostgresTraffic, store: Connect) -> None:
    for number in range(6):
        traffic.complete(query(number), [AUDIT])
    with store() as one, store() as other:
        observe(one)
        one.commit()
        first = labels.lease(one, ANNA, 4, now(), TERMS)  # not committed yet
        second = labels.lease(other, BOB, 4, now(), TERMS)
    got = [task.decision_id for task in first + second]
    assert got == [query(n).decision_id for n in range(6)]


def test_a_task_passed_over_goes_to_another_and_not_to_who_passed_it(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    for number in range(2):
        traffic.complete(query(number), [AUDIT])
    observe(connection)
    first, second = lease(connection)
    decision = DecisionKey(first.at, first.decision_id)
    assert not labels.give_back(connection, BOB, decision)
    assert labels.give_back(connection, ANNA, decision)
    assert not labels.give_back(connection, ANNA, decision)
    skipped = [first.decision_id]
    assert labels.waiting(connection, ANNA) == 1
    assert labels.waiting(connection, ANNA, skipped) == 0
    assert labels.lease(connection, ANNA, 5, now(), TERMS, skipped) == []
    assert [task.decision_id for task in lease(connection, BOB)] == skipped
    with pytest.raises(ForeignLeaseError):
        submit(connection, first, 1.0)
    assert submit(connection, second, 1.0) == "labelled"
    graded = DecisionKey(second.at, second.decision_id)
    assert not labels.give_back(connection, ANNA, graded)


def test_a_verdict_becomes_an_outcome_and_the_words_are_forgotten(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    (task,) = lease(connection)
    assert submit(connection, task, 1.0) == "labelled"
    labels.forget(connection)
    assert outcomes(connection) == [("local", 1.0, "ground_truth", "anna")]
    assert connection.execute("SELECT count(*) AS n FROM texts").fetchone() == {"n": 0}


def test_a_program_that_checks_is_a_verifier(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    checker = Labeller("verifier:sandbox", "key1")
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    (task,) = lease(connection, checker)
    submit(connection, task, 0.0, labeller=checker)
    assert outcomes(connection) == [("local", 0.0, "verifier", "verifier:sandbox")]


def test_the_same_label_a_hundred_times_is_one_row(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    (task,) = lease(connection)
    assert {submit(connection, task, 1.0) for _ in range(100)} == {"labelled"}
    assert len(outcomes(connection)) == 1
    assert connection.execute("SELECT tier FROM priced_votes").fetchall() == [{"tier": "local"}]
    with pytest.raises(AlreadyResolvedError, match="cannot be changed"):
        submit(connection, task, 0.0)
    with pytest.raises(AlreadyResolvedError, match="another"):
        submit(connection, task, 1.0, labeller=BOB)
    assert [value for _, value, _, _ in outcomes(connection)] == [1.0]


def test_unsure_resolves_without_an_outcome(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    (task,) = lease(connection)
    assert submit(connection, task, None) == "unsure"
    assert submit(connection, task, None) == "unsure"
    assert outcomes(connection) == []
    assert lease(connection) == []


def test_an_unknown_decision_is_refused(traffic: PostgresTraffic, connection: Connection) -> None:
    traffic.complete(query(1))
    observe(connection)
    undrawn = Task(query(1).decision_id, query(1).at, [], (), now())
    with pytest.raises(UnknownTaskError, match="not drawn"):
        submit(connection, undrawn)


def test_a_foreign_lease_is_refused(traffic: PostgresTraffic, connection: Connection) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    with pytest.raises(ForeignLeaseError):
        submit(connection, Task(query(1).decision_id, query(1).at, [], (), now()))
    (task,) = lease(connection)
    for stranger in (BOB, replace(ANNA, key_id="key2")):
        with pytest.raises(ForeignLeaseError, match="lease it first"):
            submit(connection, task, 1.0, labeller=stranger)
    assert outcomes(connection) == []


def test_an_ended_lease_is_refused_and_goes_to_the_next(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    (task,) = lease(connection)
    connection.execute("UPDATE label_tasks SET leased_until = now() - interval '1 second'")
    with pytest.raises(TaskExpiredError, match="lease ended"):
        submit(connection, task, 1.0)
    (again,) = lease(connection, BOB)
    assert again.decision_id == task.decision_id


def test_an_expired_task_is_refused_and_forgotten(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    (task,) = lease(connection)
    later = now() + TERMS.expiry + timedelta(minutes=1)
    assert labels.expire(connection, later, TERMS) == 1
    with pytest.raises(TaskExpiredError, match="before its label came"):
        submit(connection, task, 1.0)
    assert connection.execute("SELECT count(*) AS n FROM texts").fetchone() == {"n": 0}


@pytest.mark.parametrize(
    ("verdicts", "reason"),
    [
        ([Verdict("b", 1.0)], "no answer 'b'"),
        ([Verdict("a", 1.5)], "between 0 and 1"),
        ([Verdict("a", float("nan"))], "between 0 and 1"),
        ([Verdict("a", 1.0), Verdict("a", 0.0)], "twice"),
    ],
)
def test_an_impossible_verdict_is_refused_and_nothing_is_half_written(
    traffic: PostgresTraffic, connection: Connection, verdicts: list[Verdict], reason: str
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    lease(connection)
    key = DecisionKey(query(1).at, query(1).decision_id)
    with pytest.raises(InvalidVerdictError, match=reason), connection.transaction():
        labels.submit(connection, ANNA, key, verdicts, now())
    assert outcomes(connection) == []
    statuses = connection.execute("SELECT status FROM label_tasks").fetchall()
    assert statuses == [{"status": "leased"}]


def test_a_task_waits_for_its_shadows_words_and_is_then_graded_whole(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT, SHADOW])
    observe(connection)
    assert lease(connection) == []
    connection.execute("UPDATE shadow_tasks SET status = 'done'")
    assert lease(connection) == []  # done, but its words are still in a spool
    traffic.shipping.ship(answer(query(1), "cloud"))
    (task,) = lease(connection)
    texts = {a.text: a.key for a in task.answers}
    assert set(texts) == {"local says 7", "cloud says 7"}
    values = {texts["local says 7"]: 0.0, texts["cloud says 7"]: 1.0}
    submit(connection, task, *(values[a.key] for a in task.answers))
    assert [(key, value) for key, value, _, _ in outcomes(connection)] == [
        ("cloud", 1.0),
        ("local", 0.0),
    ]


@pytest.mark.parametrize("ending", ["failed", "expired"])
def test_a_shadow_that_failed_is_not_waited_for(
    traffic: PostgresTraffic, connection: Connection, ending: str
) -> None:
    traffic.complete(query(1), [AUDIT, SHADOW])
    observe(connection)
    connection.execute("UPDATE shadow_tasks SET status = %s", (ending,))
    assert len(lease(connection)) == 1


def test_patience_with_a_shadow_ends(traffic: PostgresTraffic, connection: Connection) -> None:
    traffic.complete(query(1), [AUDIT, SHADOW])
    observe(connection)
    later = now() + TERMS.patience + timedelta(seconds=5)
    (task,) = labels.lease(connection, ANNA, 1, later, TERMS)
    assert [a.text for a in task.answers] == ["local says 7"]


def test_words_that_a_shadow_still_needs_are_kept(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT, SHADOW])
    observe(connection)
    labels.expire(connection, now() + TERMS.expiry + timedelta(minutes=1), TERMS)
    kept = connection.execute("SELECT key FROM texts ORDER BY key").fetchall()
    assert [row["key"] for row in kept] == ["answer:local", "options", "prompt"]
    connection.execute("UPDATE shadow_tasks SET status = 'done'")
    assert labels.forget(connection) == 3


def test_the_words_of_one_query_are_forgotten_alone(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    for number in (1, 2):
        traffic.complete(query(number), [AUDIT])
    observe(connection)
    connection.execute("UPDATE label_tasks SET status = 'labelled'")
    one = DecisionKey(query(1).at, query(1).decision_id)
    assert labels.forget(connection, one) == 3
    assert labels.forget(connection, one) == 0
    assert labels.forget(connection) == 3


def test_unobserved_words_are_kept(traffic: PostgresTraffic, connection: Connection) -> None:
    traffic.complete(query(1), [AUDIT])
    assert labels.forget(connection) == 0


def test_the_control_plane_cannot_invent_a_draw(database: Database, store: Connect) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), store() as connection:
        connection.execute(
            "INSERT INTO draws (at, decision_id, kind, probability, plane, spool_segment,"
            " \"offset\") VALUES (now(), %s, 'audit', 0.5, 'x', 0, 0)",
            (query(1).decision_id,),
        )


def test_every_refusal_is_a_label_error() -> None:
    refusals = (UnknownTaskError, TaskExpiredError, ForeignLeaseError, AlreadyResolvedError)
    assert all(issubclass(refusal, LabelError) for refusal in refusals)
