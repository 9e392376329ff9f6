"""The system page on a real store, as penstock_dashboard sees it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory

import migrations
from controlplane import push
from controlplane.connection import connect
from controlplane.database import Database
from dashboard.figures.system import System, losses, read, troubles
from dashboard.store import snapshot
from dashboard.units import plain
from dataplane.report import TELL
from migrations import newest
from tests.pages import charts, metrics, page
from tests.policies import policy
from tests.seeding import Past, ran, seed, shipped, told

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def well(shared_database: Database) -> Database:
    """A store where nothing is wrong."""
    now = datetime.now(UTC)
    seed(shared_database.url, Past(until=now, queries=20))
    told(shared_database.url, now)
    ran(shared_database.url, now, cycle="done", rollup="done")
    return shared_database


def look(database: Database) -> System:
    with snapshot(database.url_for("penstock_dashboard")) as store:
        return read(store, DAY)


def lengthen(database: Database) -> None:
    """Partitions a week ahead, which a test's database lacks."""
    with psycopg.connect(database.url) as owner:
        owner.execute("SELECT penstock_ensure_partitions(7)")


def test_where_nothing_is_wrong_it_says_so(well: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    lengthen(well)
    test = page(monkeypatch, "system", well)
    assert not test.exception
    assert [each.value for each in test.success] == ["Nothing is being lost, and nothing is late."]
    shown = metrics(test)
    assert shown["Records dropped"][0] == "0"
    assert shown["Records in spools"][0] == "2"
    assert shown["Leader"][0] == "box"
    assert shown["Leader"][1].startswith("last job ")
    assert charts(test) == 1
    tables = [frame.value for frame in test.dataframe]
    assert list(tables[0]["plane"]) == ["plane-a", "plane-b"]
    assert list(tables[1]["job"]) == ["cycle", "rollup"]


def test_what_was_lost_and_what_is_late_is_said_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    told(
        database.url, now, dropped=12, quarantined=3, oldest_pending_seconds=95.0,
        last_error="connection refused",
    )  # fmt: skip
    ran(database.url, now - timedelta(minutes=9), cycle="failed")
    system = look(database)
    assert losses(system) == ["12 dropped: the spool was full, or its disk failed"]
    said = " ".join(troubles(system))
    for words in (
        "3 records were refused by the database", "plane-a cannot ship: connection refused",
        "no control plane has run a job for 9 min", "the last run of job cycle failed: no luck",
        "partitions end on",
    ):  # fmt: skip
        assert words in said
    test = page(monkeypatch, "system", database)
    assert "12 dropped" in test.error[0].value
    assert "cannot ship" in test.warning[0].value
    assert metrics(test)["Failed job runs in a day"][0] == "1"


def test_a_silent_plane_and_one_that_refuses_a_policy_are_named(database: Database) -> None:
    now = datetime.now(UTC)
    told(database.url, now - timedelta(minutes=5))
    with connect(database.url_for("penstock_controlplane")) as connection:
        push.publish(connection, policy("cascade"))
    with psycopg.connect(database.url) as owner:
        owner.execute(
            "INSERT INTO policy_acks (plane, seq, version, status, reason)"
            " VALUES ('plane-b', 1, 1, 'nack', 'unknown tiers here: cloud')"
        )
    system = look(database)
    assert [each.plane for each in system.late] == ["plane-b"]
    said = troubles(system)
    assert "data plane plane-a was not heard of for 5 min" in said
    assert any("plane-b has not taken the newest policy" in words for words in said)


def test_records_that_the_sums_lack_are_counted(database: Database) -> None:
    seed(database.url, Past(until=datetime.now(UTC), queries=5))
    shipped(database.url)
    with psycopg.connect(database.url) as owner:
        owner.execute("UPDATE shipments SET shipped_at = now() - interval '10 minutes'")
    system = look(database)
    assert system.unsummed == 10_000_001
    assert any("the sums lack 10,000,001 records, since 10 min" in w for w in troubles(system))


def test_trouble_of_the_webhook_is_said(database: Database) -> None:
    body = (
        '{"after": 9, "sent": 4, "failures": 7, "given_up": 1, "trouble":'
        ' {"event": 10, "since": "2026-01-01T00:00:00Z", "attempts": 6, "due_at": null}}'
    )
    with psycopg.connect(database.url) as owner:
        owner.execute(
            "INSERT INTO learner_state (name, body, checksum, schema) VALUES ('alerts', %s, '', 1)",
            (body,),
        )
    said = " ".join(troubles(look(database)))
    assert "took nothing in 6 attempts since" in said
    assert "1 alerts were given up" in said


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        ("0012", f"schema 0012, this build wants {newest()}: run `penstock db upgrade`"),
        ("9999", f"schema 9999 is newer than this build, which knows {newest()}: install"),
    ],
)
def test_another_schema_than_this_builds_is_said_with_the_remedy(
    database: Database, monkeypatch: pytest.MonkeyPatch, revision: str, words: str
) -> None:
    with psycopg.connect(database.url) as owner:
        owner.execute("UPDATE alembic_version SET version_num = %s", (revision,))
    test = page(monkeypatch, "system", database)
    assert plain(words) in test.error[0].value
    with psycopg.connect(database.url) as owner:
        owner.execute("DROP VIEW v_rollup_waiting")
    test = page(monkeypatch, "system", database)
    assert not test.exception
    assert plain(words) in test.error[0].value
    assert "the database lacks what this build reads" in test.error[1].value


def test_the_newest_revision_is_where_an_upgrade_leads() -> None:
    scripts = ScriptDirectory(str(Path(str(migrations.__file__)).parent))
    assert scripts.get_heads() == [newest()]


def test_the_statement_of_a_data_plane_is_what_its_role_may(database: Database) -> None:
    with psycopg.connect(database.url_for("penstock_dataplane")) as plane:
        plane.execute(TELL, {"plane": "a", "body": '{"spool": {"dropped": 3}, "tiers": {}}'})
    assert look(database).total("dropped") == 3
