from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from controlplane.database import Database, upgrade
from dataplane.contract.tables import ROWS

INSERT = """
INSERT INTO texts (at, decision_id, key, body, plane, spool_segment, "offset")
VALUES (%s, %s, 'prompt', '[]', 'p', 1, 1)
"""


def today(connection: psycopg.Connection) -> date:
    """The day on which the transaction began: midnight does not pass within a test."""
    row = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()
    assert row is not None
    day = row[0]
    assert isinstance(day, date)
    return day


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def landed_in(connection: psycopg.Connection, at: datetime) -> str:
    connection.execute(INSERT, (at, uuid4()))
    row = connection.execute("SELECT tableoid::regclass::text FROM texts WHERE at = %s", (at,))
    return str(row.fetchall()[-1][0])


def ensure(connection: psycopg.Connection, days_ahead: int) -> int:
    row = connection.execute("SELECT penstock_ensure_partitions(%s)", (days_ahead,)).fetchone()
    assert row is not None
    return int(row[0])


def test_an_upgrade_makes_today_and_a_week_ahead(empty_database: Database) -> None:
    upgrade(empty_database.url)
    with psycopg.connect(empty_database.url) as connection:
        made = connection.execute("SELECT count(*) FROM pg_class WHERE relname ~ '_p\\d{8}$'")
        assert made.fetchone() == (8 * len(ROWS),)


def test_each_day_has_its_partition_and_only_one(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        ensure(connection, 3)
        for ahead in range(4):
            day = today(connection) + timedelta(days=ahead)
            assert landed_in(connection, noon(day)) == f"texts_p{day:%Y%m%d}"
        assert ensure(connection, 3) == 0
        assert ensure(connection, 5) == 2 * len(ROWS)
        assert ensure(connection, 4) == 0


@pytest.mark.parametrize("days", [-30, 300, 36_500])
def test_days_without_a_partition_land_in_the_default_one(database: Database, days: int) -> None:
    with psycopg.connect(database.url) as connection:
        assert landed_in(connection, noon(today(connection) + timedelta(days))) == "texts_default"


def test_a_day_that_the_default_partition_holds_stays_there(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        ensure(connection, 2)
        jumped = today(connection) + timedelta(days=4)
        assert landed_in(connection, noon(jumped)) == "texts_default"
        assert ensure(connection, 5) == 3 * len(ROWS) - 1
        assert landed_in(connection, noon(jumped)) == "texts_default"
        assert landed_in(connection, noon(jumped + timedelta(days=1))) != "texts_default"


def test_days_are_those_of_utc_whoever_asks(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("SET timezone = 'Pacific/Kiritimati'")
        day = today(connection) + timedelta(days=2)
        ensure(connection, 2)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert landed_in(connection, midnight) == f"texts_p{day:%Y%m%d}"
        assert landed_in(connection, midnight - timedelta(microseconds=1)) != (
            f"texts_p{day:%Y%m%d}"
        )


def test_a_partition_has_its_parents_keys(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        keyless = connection.execute(
            """
            SELECT child.relname FROM pg_inherits
            JOIN pg_class child ON child.oid = inhrelid AND child.relkind = 'r'
            WHERE NOT EXISTS (SELECT FROM pg_index WHERE indrelid = child.oid AND indisunique)
            """
        ).fetchall()
    assert keyless == []
