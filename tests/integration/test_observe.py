"""The log in the tables, as the control plane's own role."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from controlplane.connection import connect
from controlplane.database import Database
from controlplane.observe import Log, PostgresLog, Source
from dataplane.contract.records import Completion
from tests.checks.logs import LogBattery, Opened
from tests.traffic import AUDIT, PostgresTraffic, query, records


@pytest.fixture
def opened(database: Database) -> Opened:
    @contextmanager
    def open_() -> Iterator[Log]:
        with connect(database.url_for("penstock_controlplane")) as connection:
            yield PostgresLog(connection)

    return open_


class TestPostgresLog(LogBattery):
    """The shared battery."""


def test_errors_and_aborts_move_the_watermark_and_are_no_observations(
    traffic: PostgresTraffic, opened: Opened
) -> None:
    traffic.shipping.ship(*records(query(1), status="error"))
    traffic.shipping.ship(*records(query(2), status="aborted"))
    with opened() as log:
        assert log.new({}) == ([], {Source("memory", 0): 1})


def test_a_decision_without_its_completion_is_unknown(
    traffic: PostgresTraffic, opened: Opened
) -> None:
    begun = [r for r in records(query(1)) if not isinstance(r, Completion)]
    traffic.shipping.ship(*begun)
    with opened() as log:
        assert log.new({})[0] == []


def test_a_failed_attempt_did_not_answer(traffic: PostgresTraffic, opened: Opened) -> None:
    traffic.shipping.ship(*records(query(1, answered=("local",))))
    with psycopg.connect(traffic.url) as connection:
        connection.execute("UPDATE attempts SET error = 'timeout', finish = 'timeout'")
    with opened() as log:
        assert log.new({})[0][0].answered == ()


def test_a_backlog_is_worked_off_in_batches(database: Database, traffic: PostgresTraffic) -> None:
    for number in range(5):
        traffic.complete(query(number), source=Source("a", number % 2))
    sizes = []
    watermark: dict[Source, int] = {}
    with connect(database.url_for("penstock_controlplane")) as connection:
        for _ in range(4):
            found, reached = PostgresLog(connection, batch=2).new(watermark)
            watermark = dict(reached)
            sizes.append(len(found))
    assert sum(sizes) == 5
    assert max(sizes) <= 2


def test_tasks_are_opened_with_what_they_were_drawn_from(
    database: Database, traffic: PostgresTraffic, opened: Opened
) -> None:
    traffic.complete(query(1), [AUDIT])
    for _ in range(2):
        with opened() as log:
            log.new({})
    with psycopg.connect(database.url) as connection:
        tasks = connection.execute(
            "SELECT decision_id, probability, status, waits_for_shadow FROM label_tasks"
        ).fetchall()
    assert tasks == [(query(1).decision_id, 0.1, "pending", False)]
