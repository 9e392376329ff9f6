"""What pages read of weeks without reading all of it says what all of it says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from controlplane import schedule
from controlplane.connection import connect
from controlplane.database import Database
from dashboard.store import snapshot
from tests.seeding import told

WIDTH = timedelta(minutes=10)
NOW = datetime(2026, 1, 2, 12, 7, tzinfo=UTC)
CALLED = """
INSERT INTO spend_rollups SELECT %(at)s, 't', 's', version, tier, 'serve', %(model)s, 1, 0, 0, 0,
    0, 0, 0, 0
FROM generate_series(1, 3) AS version, unnest(ARRAY['local', 'cloud']) AS tier
"""


@pytest.mark.parametrize(
    ("name", "of"), [("spools", {}), ("engines", {"tier": "local"}), ("engines", {"tier": "cloud"})]
)
def test_sums_of_reports_say_what_the_reports_say(
    database: Database, name: str, of: dict[str, Any]
) -> None:
    told(database.url, NOW, 240, pending_records=70, oldest_pending_seconds=8.5)
    asked = {"since": NOW - timedelta(days=1), "width": WIDTH, **of}
    with snapshot(database.url_for("penstock_dashboard")) as store:
        each, summed = store.rows(name, **asked), store.rows(f"summed_{name}", **asked)
    assert [row.keys() for row in each] == [row.keys() for row in summed]
    assert len(each) == (0 if of.get("tier") == "cloud" else 10)
    for one, other in zip(each, summed, strict=True):
        assert one.pop("busy_share", 0.0) == pytest.approx(other.pop("busy_share", 0.0))
        assert one == other


def test_a_report_that_makes_no_sense_is_kept_and_in_no_sum(database: Database) -> None:
    body = '{"spool": {"pending_records": "many"}, "tiers": 3}'
    with psycopg.connect(database.url_for("penstock_dataplane")) as plane:
        plane.execute("INSERT INTO plane_reports (plane, body) VALUES ('odd', %s)", (body,))
    with psycopg.connect(database.url) as owner:
        assert owner.execute("SELECT plane FROM plane_reports").fetchall() == [("odd",)]
        assert owner.execute("SELECT FROM spool_rollups").fetchall() == []


def test_sums_of_reports_are_kept_for_as_long_as_pages_look_back(database: Database) -> None:
    told(database.url, NOW, 2)
    for days, left in ((31, 2), (33, 0)):
        with connect(database.url_for("penstock_controlplane")) as connection:
            schedule.forget_runs(connection, NOW + timedelta(days=days))
        with psycopg.connect(database.url) as owner:
            for table in ("spool_rollups", "engine_rollups"):
                found = owner.execute(f"SELECT FROM {table}".encode()).fetchall()
                assert len(found) == left


def test_simulated_models_are_told_from_the_sums_of_the_period(database: Database) -> None:
    with psycopg.connect(database.url) as owner:
        for model, hours in (("a-real-one", 1), ("SIMULATED-new", 1), ("simulated-old", 30)):
            at = NOW - timedelta(hours=hours)
            owner.execute(CALLED, {"at": at, "model": model})
            owner.execute(CALLED, {"at": at - timedelta(days=1), "model": model})
    with snapshot(database.url_for("penstock_dashboard")) as store:
        day, month = (store.rows("simulated", since=NOW - timedelta(days=days)) for days in (1, 31))
    assert [row["name"] for row in day] == ["model SIMULATED-new"]
    assert {row["name"] for row in month} == {"model SIMULATED-new", "model simulated-old"}
