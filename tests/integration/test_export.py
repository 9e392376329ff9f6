"""Closed days as Parquet: whole, each once, and again where something came late."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from pyarrow import parquet

from controlplane.connection import Connection
from controlplane.database import Database
from controlplane.export import TABLES, ExportError, Written, closed_days, export
from dataplane.contract.tables import ROWS
from tests.command import Run
from tests.traffic import PostgresTraffic, query

DAY = date(2026, 3, 1)  # the traffic's
NOW = datetime(2026, 3, 3, 1, tzinfo=UTC)


@pytest.fixture
def served(traffic: PostgresTraffic, connection: Connection) -> PostgresTraffic:
    """Three queries, one of them labelled, each a record of every kind."""
    for number in range(3):
        traffic.complete(query(number))
    connection.execute(
        "INSERT INTO labels (at, decision_id, key, value, source, basis)"
        " SELECT at, id, 'local', 1, 'ground_truth', 'single' FROM decisions LIMIT 1"
    )
    return traffic


def written(connection: Connection, folder: Path) -> list[Written]:
    found = (export(connection, folder, table, DAY) for table in TABLES)
    return [each for each in found if each is not None]


def test_a_day_is_closed_once_it_is_over(connection: Connection, served: PostgresTraffic) -> None:
    assert closed_days(connection, NOW) == [DAY, DAY + timedelta(days=1)]
    assert closed_days(connection, datetime(2026, 3, 1, 23, 59, tzinfo=UTC)) == []


def test_before_any_record_no_day_is_closed(connection: Connection) -> None:
    assert closed_days(connection, NOW) == []


def test_every_row_and_column_is_there_but_for_texts(
    connection: Connection, served: PostgresTraffic, tmp_path: Path
) -> None:
    files = {each.path.parent.name: each for each in written(connection, tmp_path)}
    for table, each in files.items():
        rows = connection.execute(f"SELECT * FROM {table} ORDER BY at".encode()).fetchall()
        told = parquet.read_table(each.path).to_pylist()
        assert each.rows == len(told) == len(rows) > 0
        assert list(told[0]) == list(rows[0])
        assert [row["at"] for row in told] == [row["at"] for row in rows]
    assert {"decisions", "attempts", "completions", "labels"} <= set(files)
    assert set(files) <= {*ROWS, "labels"} - {"texts"}
    decisions = parquet.read_table(files["decisions"].path).to_pylist()
    (first,) = (row for row in decisions if row["id"] == str(query(0).decision_id))
    assert json.loads(first["features"])["chars"] == query(0).features.chars
    assert first["eligible"][:2] == ["local", "cloud"]


def test_again_nothing_is_written_until_something_came_late(
    connection: Connection, served: PostgresTraffic, tmp_path: Path
) -> None:
    assert written(connection, tmp_path)
    assert written(connection, tmp_path) == []
    served.complete(query(7))
    late = {each.path.parent.name: each.rows for each in written(connection, tmp_path)}
    assert late["decisions"] == 4
    assert "labels" not in late


def test_what_retention_dropped_stays_in_its_file(
    connection: Connection, served: PostgresTraffic, database: Database, tmp_path: Path
) -> None:
    files = written(connection, tmp_path)
    with psycopg.connect(database.url, autocommit=True) as owner:
        owner.execute("DELETE FROM decisions")
    assert written(connection, tmp_path) == []
    assert all(parquet.read_metadata(each.path).num_rows == each.rows for each in files)


def test_a_file_is_there_whole_or_not_at_all(
    connection: Connection,
    served: PostgresTraffic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match=r"decisions/2026-03-01\.parquet: No space left"):
        export(connection, tmp_path, "decisions", DAY)
    assert list((tmp_path / "decisions").iterdir()) == []
    monkeypatch.undo()
    assert export(connection, tmp_path, "decisions", DAY) is not None


def test_a_file_of_something_else_is_not_overwritten(
    connection: Connection, served: PostgresTraffic, tmp_path: Path
) -> None:
    mine = tmp_path / "decisions" / f"{DAY}.parquet"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(ExportError, match="not Parquet"):
        export(connection, tmp_path, "decisions", DAY)
    assert mine.read_text() == "mine"


def test_the_command_says_what_it_wrote(run: Run, served: PostgresTraffic, tmp_path: Path) -> None:
    since = ("--since", "2026-03-01", "--until", "2026-03-01", "--json")
    said = json.loads(run("export", str(tmp_path), *since))
    assert said["days"] == 1
    assert {Path(each["file"]).parent.name for each in said["written"]} >= {"decisions", "labels"}
    assert json.loads(run("export", str(tmp_path), *since))["written"] == []
