"""Records of long ago go with their partitions, once they were observed and added up."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from controlplane import push
from controlplane.connection import Connect
from controlplane.database import Database
from controlplane.leader import Leader, NotLeaderError
from controlplane.retention import RetentionJob, drop
from controlplane.rollups import RollupJob
from dataplane.contract.tables import ROWS
from tests.policies import policy
from tests.traffic import PostgresTraffic, query

NOW = datetime.now(UTC)
DAY = date(2026, 3, 1)  # the traffic's
KEPT = timedelta(days=30)
PARTITION = "CREATE TABLE {0}_p{1:%Y%m%d} PARTITION OF {0} FOR VALUES FROM ('{1}') TO ('{2}')"
OBSERVED = """
INSERT INTO watermarks (plane, segment, "offset")
SELECT plane, segment, max(last_offset) FROM shipments GROUP BY plane, segment
"""


class Store:
    """The owner's view of the tables."""

    def __init__(self, owner: psycopg.Connection) -> None:
        self._owner = owner

    def rows(self, statement: str, *values: Any) -> list[Any]:
        found = self._owner.execute(statement.encode(), values)
        return found.fetchall() if found.description else []

    def partition(self, day: date) -> None:
        for table in ROWS:
            self.rows(PARTITION.format(table, day, day + timedelta(days=1)))

    @property
    def decisions(self) -> int:
        return int(self.rows("SELECT count(*) FROM decisions")[0][0])

    @property
    def old_tables(self) -> set[str]:
        found = self.rows("SELECT relname FROM pg_class WHERE relname ~ '_p202603[0-9]{2}$'")
        return {name for (name,) in found}


@pytest.fixture
def owned(database: Database, store: Connect) -> Iterator[Store]:
    with store() as connection:
        push.publish(connection, policy("cascade"))
    with psycopg.connect(database.url, autocommit=True) as owner:
        yield Store(owner)


@pytest.fixture
def job(store: Connect, leader: Leader) -> RetentionJob:
    return RetentionJob(store, leader, KEPT)


def served(traffic: PostgresTraffic, count: int = 3) -> None:
    for number in range(count):
        traffic.complete(query(number))


def test_whole_days_go_and_what_they_add_up_to_stays(
    owned: Store, traffic: PostgresTraffic, store: Connect, leader: Leader, job: RetentionJob
) -> None:
    owned.partition(DAY)
    owned.partition(DAY + timedelta(days=1))
    served(traffic)
    RollupJob(store, leader, kept=timedelta(days=400)).run(NOW)
    sums = owned.rows("SELECT * FROM query_rollups ORDER BY at")
    of_each = (f"SELECT count(*) FROM {table} WHERE at < '2026-03-02'" for table in ROWS)
    records = sum(owned.rows(statement)[0][0] for statement in of_each)
    assert job.run(NOW) == f"{records} records of before {(NOW - KEPT).date()} dropped"
    assert (owned.decisions, owned.old_tables) == (0, set())
    assert owned.rows("SELECT * FROM query_rollups ORDER BY at") == sums
    assert job.run(NOW) is None


def test_what_is_not_observed_yet_stays_however_old(
    owned: Store, traffic: PostgresTraffic, store: Connect, leader: Leader, job: RetentionJob
) -> None:
    owned.partition(DAY)
    served(traffic)
    owned.rows("UPDATE shipments SET shipped_at = now() - interval '2 hours'")
    assert "not observed" in str(job.run(NOW))
    owned.rows(OBSERVED)
    assert "not observed" in str(job.run(NOW))  # nor added up
    assert owned.decisions == 3
    RollupJob(store, leader).run(NOW)
    assert "dropped" in str(job.run(NOW))
    assert owned.decisions == 0


def test_what_comes_after_its_day_was_dropped_goes_too(
    owned: Store, traffic: PostgresTraffic, job: RetentionJob
) -> None:
    served(traffic)  # there is no partition of that day
    assert "dropped" in str(job.run(NOW))
    assert owned.decisions == 0


def test_what_is_young_enough_stays(
    owned: Store, traffic: PostgresTraffic, store: Connect, leader: Leader
) -> None:
    owned.partition(DAY)
    served(traffic)
    age = NOW.date() - DAY
    assert RetentionJob(store, leader, age).run(NOW) is None
    assert owned.decisions == 3
    assert "dropped" in str(RetentionJob(store, leader, age - timedelta(days=1)).run(NOW))


def test_a_busy_table_is_left_for_the_next_time(
    owned: Store, database: Database, traffic: PostgresTraffic, job: RetentionJob
) -> None:
    owned.partition(DAY)
    served(traffic)
    with psycopg.connect(database.url) as reader:
        reader.execute("SELECT count(*) FROM attempts")  # a report that takes its time
        assert "busy" in str(job.run(NOW))
        traffic.complete(query(9))
    assert "dropped" in str(job.run(NOW))
    assert owned.old_tables == set()


def test_only_the_leader_drops(owned: Store, traffic: PostgresTraffic, store: Connect) -> None:
    class Deposed(Leader):
        def check(self) -> None:
            raise NotLeaderError

    owned.partition(DAY)
    served(traffic)
    with pytest.raises(NotLeaderError):
        RetentionJob(store, Deposed("none"), KEPT).run(NOW)
    assert owned.decisions == 3


def test_the_last_week_is_dropped_by_nobody(owned: Store, store: Connect) -> None:
    with (
        store() as connection,
        pytest.raises(psycopg.errors.RaiseException, match="last week are not dropped"),
    ):
        drop(connection, NOW.date() - timedelta(days=6))
