"""Two labellers and a third: who is asked, what is settled, and what waits, on real tables."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from controlplane import push
from controlplane.audit import funnel, labels
from controlplane.audit.tasks import (
    AlreadyResolvedError,
    ForeignLeaseError,
    Labeller,
    Task,
    Verdict,
)
from controlplane.audit.window import Window
from controlplane.connection import Connect, Connection
from controlplane.cycle import Cycle
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.observe import DecisionKey, PostgresLog
from dataplane.contract.records import Outcome, Source, outcome_id
from dataplane.contract.terms import AuditTerms
from dataplane.strategies import Drawn
from tests.policies import policy
from tests.scripted_learner import scripted
from tests.traffic import AUDIT, PostgresTraffic, query

ANNA, BOB, CAROL, DAVE = (Labeller(name, "key1") for name in ("anna", "bob", "carol", "dave"))
CHECKER, PROXY = Labeller("verifier:x", "key1"), Labeller("reference:big", "key1")
TERMS = labels.Terms()
WITH_PROXY = replace(TERMS, accepts=("ground_truth", "verifier", "reference"))


def now() -> datetime:
    return datetime.now(UTC)


def observe(connection: Connection, *, double: bool = True) -> None:
    with connection.transaction():
        PostgresLog(connection, twice=lambda _: double).new({})


def lease(connection: Connection, who: Labeller, terms: labels.Terms = TERMS) -> list[Task]:
    with connection.transaction():
        return labels.lease(connection, who, 100, now(), terms)


def vote(
    connection: Connection,
    who: Labeller,
    value: float | None,
    terms: labels.Terms = TERMS,
    number: int = 1,
) -> str:
    """Lease what there is, and give the served answer of one query this grade."""
    lease(connection, who, terms)
    key = DecisionKey(query(number).at, query(number).decision_id)
    with connection.transaction():
        return labels.submit(connection, who, key, [Verdict("a", value)], now(), terms)


def rows(connection: Connection, statement: str) -> list[dict[str, Any]]:
    return connection.execute(statement.encode()).fetchall()


def settled(connection: Connection) -> list[tuple[str, float, str, str]]:
    found = rows(connection, "SELECT key, value, source, basis FROM labels ORDER BY at, key")
    return [(row["key"], row["value"], row["source"], row["basis"]) for row in found]


def status(connection: Connection) -> str:
    (row,) = rows(connection, "SELECT status FROM label_tasks")
    return str(row["status"])


def learned(connection: Connection) -> list[dict[str, float]]:
    with connection.transaction():
        log = PostgresLog(connection, tolerance=TERMS.tolerance)
        return [dict(labelled.right) for labelled in log.labelled()]


def told(
    number: int, value: float, source: Source = "ground_truth", key: str = "served"
) -> Outcome:
    """What an application, or a client, said of itself to the data plane."""
    labeller = "application:key9" if source == "ground_truth" else "key9"
    one = query(number)
    return Outcome(
        id=outcome_id(one.decision_id, key, source, labeller),
        decision_id=one.decision_id, at=one.at, key=key, source=source, value=value,
        labeller=labeller, observed_at=now(),
    )  # fmt: skip


def test_two_who_agree_settle_at_their_mean_and_nothing_before(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    assert vote(connection, ANNA, 1.0) == "labelled"
    assert (settled(connection), learned(connection), status(connection)) == ([], [], "pending")
    assert rows(connection, "SELECT count(*) AS n FROM texts") == [{"n": 3}]
    assert lease(connection, ANNA) == []
    assert lease(connection, replace(ANNA, key_id="key2")) == []  # the same person
    assert vote(connection, BOB, 0.8) == "labelled"
    assert settled(connection) == [("local", 0.9, "ground_truth", "double")]
    assert learned(connection) == [{"local": 0.9}]
    assert len(rows(connection, "SELECT FROM outcomes")) == 2


def test_two_who_disagree_are_adjudicated_by_a_third_who_sees_neither(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    (first,) = lease(connection, ANNA)
    vote(connection, ANNA, 1.0)
    assert vote(connection, BOB, 0.0) == "labelled"  # nobody is told of a dispute
    assert (settled(connection), status(connection)) == ([], "pending")
    assert lease(connection, ANNA) == lease(connection, BOB) == []
    (third,) = lease(connection, CAROL)
    assert replace(third, leased_until=first.leased_until) == first
    vote(connection, CAROL, 0.4)
    assert settled(connection) == [("local", 0.4, "ground_truth", "adjudicated")]
    assert learned(connection) == [{"local": 0.4}]
    with pytest.raises(AlreadyResolvedError, match="was adjudicated: its label stands"):
        vote(connection, DAVE, 1.0)
    assert vote(connection, ANNA, 1.0) == "labelled"  # said again
    with pytest.raises(AlreadyResolvedError, match="cannot be changed"):
        vote(connection, ANNA, 0.0)
    assert len(rows(connection, "SELECT FROM outcomes")) == 3


def test_agreement_is_told_from_ten_pairs_on(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    for number in range(10):
        traffic.complete(query(number), [AUDIT])
    observe(connection)
    for number in range(10):
        vote(connection, ANNA, float(number % 2), number=number)
        told = funnel.agreement(connection)
        assert (told.pairs, told.alike, told.kappa) == (number, None, None)
        vote(connection, BOB, 1.0 if number == 0 else float(number % 2), number=number)
    told = funnel.agreement(connection)
    assert (told.pairs, told.alike) == (10, 0.9)
    assert told.kappa is not None
    assert told.kappa.estimate == pytest.approx(0.8)


def test_while_unresolved_a_double_task_holds_the_watermark(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    for number in (1, 2):
        traffic.complete(query(number), [AUDIT])
    observe(connection)
    for who in (ANNA, BOB):
        vote(connection, who, 1.0, number=2)
    vote(connection, ANNA, 1.0, number=1)
    pending = connection.execute(
        "SELECT decision_id FROM label_tasks WHERE status IN ('pending', 'leased')"
    ).fetchall()
    assert [row["decision_id"] for row in pending] == [query(1).decision_id]
    assert Window().read(connection) == []


def test_one_unsure_leaves_the_others_word_and_two_leave_none(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    for number in (1, 2):
        traffic.complete(query(number), [AUDIT])
    observe(connection)
    assert vote(connection, ANNA, None, number=1) == "unsure"
    vote(connection, ANNA, None, number=2)
    vote(connection, BOB, 0.0, number=1)
    assert vote(connection, BOB, None, number=2) == "unsure"
    assert settled(connection) == [("local", 0.0, "ground_truth", "single")]
    statuses = rows(connection, "SELECT status FROM label_tasks ORDER BY at")
    assert [row["status"] for row in statuses] == ["labelled", "unsure"]


def test_a_second_labeller_who_does_not_come_is_not_waited_for(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    vote(connection, ANNA, 1.0)
    soon, later = now() + timedelta(hours=1), now() + TERMS.second + timedelta(minutes=1)
    assert labels.expire(connection, soon, TERMS) == 0
    assert status(connection) == "pending"
    assert labels.expire(connection, later, TERMS) == 0
    assert settled(connection) == [("local", 1.0, "ground_truth", "single")]


def test_a_dispute_without_an_adjudicator_expires_unlabelled(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    vote(connection, ANNA, 1.0)
    vote(connection, BOB, 0.0)
    assert labels.expire(connection, now() + timedelta(days=2), TERMS) == 0
    assert labels.expire(connection, now() + TERMS.expiry + timedelta(minutes=1), TERMS) == 1
    assert (settled(connection), status(connection)) == ([], "expired")
    assert learned(connection) == []


def test_a_verifier_stands_alone_and_takes_nothing_that_people_began(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    for number in (1, 2):
        traffic.complete(query(number), [AUDIT])
    observe(connection)
    vote(connection, ANNA, 1.0, number=1)
    connection.execute("UPDATE label_tasks SET status = 'pending', leased_by = NULL")
    assert labels.waiting(connection, CHECKER) == 1
    assert labels.waiting(connection, BOB) == 2
    assert [task.decision_id for task in lease(connection, CHECKER)] == [query(2).decision_id]
    vote(connection, CHECKER, 0.0, number=2)
    assert settled(connection) == [("local", 0.0, "verifier", "single")]


def test_a_reference_is_a_proxy_that_settles_nothing_unless_asked_for(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    for number in (1, 2, 3):
        traffic.complete(query(number), [AUDIT])
    observe(connection, double=False)
    for number in (1, 2, 3):
        assert vote(connection, PROXY, 0.0, number=number) == "labelled"
    assert settled(connection) == []
    assert lease(connection, PROXY) == []
    vote(connection, ANNA, 1.0, number=1)
    assert settled(connection) == [("local", 1.0, "ground_truth", "single")]
    assert labels.expire(connection, now() + TERMS.expiry + timedelta(minutes=1), TERMS) == 2
    assert learned(connection) == [{"local": 1.0}]


def test_a_reference_that_is_asked_for_settles_and_is_marked(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    vote(connection, PROXY, 1.0, WITH_PROXY)
    assert settled(connection) == [("local", 1.0, "reference", "single")]


def test_an_applications_word_settles_the_drawn_and_nothing_else(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    traffic.complete(query(2))
    traffic.shipping.ship(told(1, 0.0), told(2, 0.0))
    observe(connection)
    assert learned(connection) == [{"local": 0.0}]
    assert settled(connection) == [("local", 0.0, "ground_truth", "single")]
    with pytest.raises(AlreadyResolvedError):
        vote(connection, ANNA, 1.0)


def test_feedback_settles_nothing(traffic: PostgresTraffic, connection: Connection) -> None:
    traffic.complete(query(1), [AUDIT])
    traffic.shipping.ship(told(1, 1.0, "feedback"), told(1, 1.0, "feedback", "local"))
    observe(connection, double=False)
    assert learned(connection) == []
    vote(connection, ANNA, 0.0)
    assert learned(connection) == [{"local": 0.0}]


def test_a_word_that_comes_after_the_label_moves_nothing(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection, double=False)
    vote(connection, ANNA, 1.0)
    traffic.shipping.ship(told(1, 0.0))
    assert learned(connection) == [{"local": 1.0}]
    assert settled(connection) == [("local", 1.0, "ground_truth", "single")]


def test_a_person_whom_the_application_contradicts_is_adjudicated(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1, answered=("local", "cloud")), [AUDIT])  # it tells of one of two
    traffic.shipping.ship(told(1, 0.0))
    observe(connection, double=False)
    assert learned(connection) == []
    (task,) = lease(connection, ANNA)
    graded = [Verdict(answer.key, 1.0) for answer in task.answers]
    key = DecisionKey(task.at, task.decision_id)
    labels.submit(connection, ANNA, key, graded, now(), TERMS)
    assert settled(connection) == []
    lease(connection, BOB)
    labels.submit(connection, BOB, key, graded, now(), TERMS)
    assert settled(connection) == [
        ("cloud", 1.0, "ground_truth", "adjudicated"),
        ("local", 1.0, "ground_truth", "single"),
    ]


def test_at_its_end_a_task_takes_the_applications_word_for_the_answer_that_it_knows(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT, Drawn("shadow", 0.05, "cloud")])
    traffic.shipping.ship(told(1, 1.0))
    observe(connection)
    assert labels.expire(connection, now() + TERMS.expiry + timedelta(minutes=1), TERMS) == 0
    assert settled(connection) == [("local", 1.0, "ground_truth", "single")]


def test_at_once_many_labellers_vote_twice_on_each_and_nobody_on_the_same(
    traffic: PostgresTraffic, store: Connect, connection: Connection
) -> None:
    queries = [query(number) for number in range(12)]
    for one in queries:
        traffic.complete(one, [AUDIT])
    observe(connection)
    failed: list[BaseException] = []

    def work(name: str) -> None:
        who, idle = Labeller(name, "key1"), 0
        try:
            while idle < 40:
                with store() as mine:
                    tasks = labels.lease(mine, who, 2, now(), TERMS)
                idle = 0 if tasks else idle + 1
                for task in tasks:
                    key = DecisionKey(task.at, task.decision_id)
                    with store() as mine:
                        labels.submit(mine, who, key, [Verdict("a", 1.0)], now(), TERMS)
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"person {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    votes = rows(connection, "SELECT count(*) AS n FROM label_votes GROUP BY at, decision_id")
    assert [row["n"] for row in votes] == [2] * len(queries)
    assert settled(connection) == [("local", 1.0, "ground_truth", "double")] * len(queries)


def test_the_funnel_adds_up_and_says_how_far_two_agree(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    for number in range(6):
        traffic.complete(query(number), [AUDIT])
    observe(connection)
    lease(connection, ANNA)
    for number, grade in enumerate([1.0, 0.0, 1.0, None]):
        vote(connection, ANNA, grade, number=number)
    connection.execute("UPDATE label_tasks SET leased_until = now() WHERE leased_by IS NOT NULL")
    for number, grade in enumerate([1.0, 0.0, 0.0, None]):
        vote(connection, BOB, grade, number=number)
    (stage,) = funnel.read(connection, now())
    counts = (stage.drawn, stage.waiting, stage.leased, stage.labelled, stage.unsure)
    assert (stage.window, stage.segment, *counts) == ("all", "default", 6, 1, 2, 2, 1)
    assert (stage.expired, stage.double, stage.disagreeing, stage.adjudicated) == (0, 6, 1, 0)
    assert stage.kappa is not None
    assert (stage.pairs, round(stage.kappa.estimate, 2)) == (3, 0.4)
    vote(connection, CAROL, 1.0, number=2)
    (stage,) = funnel.read(connection, now())
    assert (stage.labelled, stage.disagreeing, stage.adjudicated, stage.pairs) == (3, 1, 1, 3)
    today = funnel.read(connection, query(5).at + timedelta(seconds=1))
    assert [(each.window, each.drawn) for each in today] == [("24h", 6), ("7d", 6), ("all", 6)]


def test_votes_and_labels_are_added_and_never_changed(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection, double=False)
    vote(connection, ANNA, 1.0)
    for table in ("outcomes", "label_votes", "labels"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET at = now()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_first_labellers_lease_is_over_with_the_vote(
    traffic: PostgresTraffic, connection: Connection
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(connection)
    vote(connection, ANNA, 1.0)
    key = DecisionKey(query(1).at, query(1).decision_id)
    with pytest.raises(ForeignLeaseError, match="lease it first"):
        labels.submit(connection, BOB, key, [Verdict("a", 1.0)], now(), TERMS)


def test_the_cycle_asks_two_and_a_proxys_label_is_silent_where_it_is_not_accepted(
    database: Database, traffic: PostgresTraffic, store: Connect, connection: Connection
) -> None:
    with store() as publishing:
        push.publish(publishing, policy(audit=AuditTerms(rate=0.1)))
    traffic.complete(query(1), [AUDIT])
    with Leader(database.url_for("penstock_controlplane")) as leader:
        leader.leads()
        terms = replace(TERMS, double=1.0)
        Cycle(store, leader, scripted(0.3), terms=terms).run(query(1).at)
    assert rows(connection, "SELECT doubled FROM label_tasks") == [{"doubled": True}]
    vote(connection, PROXY, 1.0, WITH_PROXY)
    (silent,), (served,) = (
        Window().read(connection, accepts) for accepts in (TERMS.accepts, WITH_PROXY.accepts)
    )
    assert (silent.probability, silent.value) == (AUDIT.probability, None)
    assert (served.probability, served.value) == (AUDIT.probability, 1.0)
