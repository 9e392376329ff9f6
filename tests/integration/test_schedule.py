"""Jobs on real tables: who leads, and that a due run is done once."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from controlplane import schedule
from controlplane.connection import Connect, connect
from controlplane.database import Database
from controlplane.leader import Leader, NotLeaderError
from controlplane.schedule import Job, Runner, actions_on, forget_runs, start

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = Job("cycle", 2.0)


@pytest.fixture
def url(database: Database) -> str:
    return database.url_for("penstock_controlplane")


@pytest.fixture
def store(url: str) -> Connect:
    return partial(connect, url)


class AlwaysLeads(Leader):
    """A control plane that wrongly believes to lead."""

    def leads(self) -> bool:
        return True


def runner(store: Connect, leader: Leader, action: Callable[[datetime], object]) -> Runner:
    return Runner(store, leader, "test", {"cycle": action})


def runs(store: Connect) -> list[tuple[str, str | None]]:
    with store() as connection:
        rows = connection.execute("SELECT status, detail FROM job_runs ORDER BY due_at").fetchall()
    return [(row["status"], row["detail"]) for row in rows]


def test_only_one_leads_and_another_takes_over(url: str) -> None:
    with Leader(url) as first, Leader(url) as second:
        assert [first.leads(), second.leads(), first.leads()] == [True, False, True]
        with pytest.raises(NotLeaderError):
            second.check()
        first.resign()
        assert second.leads()
        with pytest.raises(NotLeaderError):
            first.check()


def test_a_stopped_leader_loses_its_session_and_knows(url: str) -> None:
    with Leader(url, idle_session_ms=50) as stopped, Leader(url) as other:
        assert stopped.leads()
        deadline = datetime.now(UTC) + timedelta(seconds=20)
        while not other.leads():  # the stopped one sends no heartbeat meanwhile
            assert datetime.now(UTC) < deadline
        with pytest.raises(NotLeaderError):
            stopped.check()
        assert not stopped.leads()


def test_without_a_database_nobody_leads() -> None:
    assert not Leader("postgresql://nobody@127.0.0.1:1/none").leads()


def test_a_due_run_is_done_once_even_by_two_that_believe_to_lead(url: str, store: Connect) -> None:
    done: list[datetime] = []
    runners = [runner(store, AlwaysLeads(url), done.append) for _ in range(2)]
    for seconds in (0.0, 0.5, 2.0, 3.9):
        for each in runners:
            each.run(JOB, NOW + timedelta(seconds=seconds))
    assert done == [NOW, NOW + timedelta(seconds=2)]
    assert runs(store) == [("done", None)] * 2


def test_who_does_not_lead_does_nothing(url: str, store: Connect) -> None:
    with Leader(url) as leader:
        assert leader.leads()
        assert not runner(store, Leader(url), lambda _: None).run(JOB, NOW)
    assert runs(store) == []


def test_a_failing_job_is_written_down_and_due_again(
    url: str, store: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: datetime) -> object:
        raise RuntimeError("no luck")

    with caplog.at_level(logging.CRITICAL):
        each = runner(store, AlwaysLeads(url), fail)
        assert each.run(JOB, NOW)
        assert each.run(JOB, NOW + timedelta(seconds=2))
    assert runs(store) == [("failed", "RuntimeError: no luck")] * 2


def test_a_run_that_nobody_finished_is_given_up_by_the_next(url: str, store: Connect) -> None:
    def die(_: datetime) -> object:
        raise KeyboardInterrupt  # as a kill does, it leaves the run as it is

    with pytest.raises(KeyboardInterrupt):
        runner(store, AlwaysLeads(url), die).run(JOB, NOW)
    assert runs(store) == [("running", None)]
    successor = runner(store, AlwaysLeads(url), lambda _: "well")
    assert not successor.run(JOB, NOW)  # it may be under way yet
    assert successor.run(JOB, NOW + timedelta(seconds=2))
    assert runs(store) == [
        ("abandoned", "its control plane did not finish it"),
        ("done", "well"),
    ]


def test_a_woken_control_plane_says_how_its_run_ended_after_all(url: str, store: Connect) -> None:
    successor = runner(store, AlwaysLeads(url), lambda _: "later")

    def sleep(_: datetime) -> str:
        assert successor.run(JOB, NOW + timedelta(seconds=2))
        assert runs(store)[0][0] == "abandoned"
        return "after all"

    assert runner(store, AlwaysLeads(url), sleep).run(JOB, NOW)
    assert runs(store) == [("done", "after all"), ("done", "later")]


@pytest.mark.parametrize(
    ("days", "said"), [(2, "172,800 s ahead of the database's"), (-2, "172,800 s behind the")]
)
def test_by_a_clock_that_has_jumped_nothing_is_done(
    url: str, store: Connect, monkeypatch: pytest.MonkeyPatch, days: int, said: str
) -> None:
    class Jumped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Jumped":
            return cls.fromtimestamp(time.time() + days * 86_400, tz)

    monkeypatch.setattr(schedule, "datetime", Jumped)
    done: list[datetime] = []
    with Leader(url) as leader:
        assert runner(store, leader, done.append).run(JOB, Jumped.now(UTC))
    assert done == []
    ((status, detail),) = runs(store)
    assert (status, said in str(detail)) == ("failed", True)
    with store() as connection:
        row = connection.execute("SELECT now() - due_at AS ago FROM job_runs").fetchone()
    assert row is not None
    assert abs(row["ago"]) < timedelta(seconds=60)  # by the database's clock


def test_housekeeping_runs_under_the_control_planes_role(url: str, store: Connect) -> None:
    actions = actions_on(store)
    actions["partitions"](NOW)
    assert actions["partitions"](NOW) == 0  # all of them are there by now
    runner(store, AlwaysLeads(url), lambda _: None).run(JOB, NOW)
    assert actions["forget_runs"](NOW + timedelta(days=2)) == 1


def test_leases_of_long_ago_are_dropped(database: Database, store: Connect) -> None:
    with psycopg.connect(database.url, autocommit=True) as owner:
        days = [NOW.date() - timedelta(days=before) for before in (0, 6, 9)]
        with owner.cursor() as cursor:
            cursor.executemany("INSERT INTO spend_leases VALUES ('k', %s, 1)", [[d] for d in days])
        with store() as connection:
            forget_runs(connection, NOW)
        left = owner.execute("SELECT day FROM spend_leases ORDER BY day DESC").fetchall()
    assert [day for (day,) in left] == days[:2]


def test_the_scheduler_runs_a_job_until_it_is_shut_down(url: str, store: Connect) -> None:
    ran = threading.Event()
    with Leader(url) as leader:
        each = runner(store, leader, lambda _: ran.set())
        scheduler = start((Job("cycle", 0.2),), each, leader)
        try:
            assert ran.wait(20)
        finally:
            scheduler.shutdown(wait=True)
