"""`penstock label` on a real Postgres: out, filled in, back; all of a file or nothing of it."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from controlplane import push
from controlplane.audit import labels
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.observe import PostgresLog
from dataplane.contract.terms import AuditTerms
from tests.command import EXAMPLE, Run, penstock
from tests.policies import policy
from tests.traffic import AUDIT, PostgresTraffic, decision_id, query

ROOT = Path(__file__).parents[2]
ANNA = ("--labeller", "anna")
DIE_AT_THE_THIRD = """
import os, signal, sys
from controlplane.audit import labels
from controlplane.cli import main

submit, calls = labels.submit, []

def dying(*arguments):
    calls.append(arguments)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return submit(*arguments)

labels.submit = dying
main()
"""


@pytest.fixture
def run(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """`penstock` on a store with five drawn queries that were observed."""
    traffic = PostgresTraffic(database.url)
    for number in range(5):
        traffic.complete(query(number), [AUDIT])
    with connect(database.url_for("penstock_controlplane")) as connection:
        push.publish(connection, policy(audit=AuditTerms(rate=0.1)))
        PostgresLog(connection).new({})
    return penstock(database, monkeypatch, capsys)


@pytest.fixture
def sheet(run: Run, tmp_path: Path) -> Path:
    """An exported file."""
    path = tmp_path / "anna.csv"
    run("label", "export", str(path), *ANNA)
    return path


def fill(path: Path, change: Callable[[int, dict[str, str]], dict[str, str]]) -> None:
    """Change each row by its place."""
    with path.open(newline="") as file:
        rows = [change(place, row) for place, row in enumerate(csv.DictReader(file))]
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def graded(_: int, row: dict[str, str]) -> dict[str, str]:
    return row | {"value": "good"}


def written(database: Database) -> list[int]:
    """Outcomes, votes, labels, and tasks that are no longer leased."""
    with psycopg.connect(database.url) as owner:
        counts = (
            "SELECT (SELECT count(*) FROM outcomes), (SELECT count(*) FROM label_votes),"
            " (SELECT count(*) FROM labels),"
            " (SELECT count(*) FROM label_tasks WHERE status <> 'leased')"
        )
        row = owner.execute(counts.encode()).fetchone()
    return list(row or ())


def test_out_filled_in_and_back(run: Run, sheet: Path, database: Database) -> None:
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["decision_id"] for row in rows] == [str(decision_id(n)) for n in range(5)]
    assert rows[0] | {"decision_id": ""} == {
        "decision_id": "", "answer": "a", "prompt": "user: 3 + 4 =", "text": "local says 7",
        "value": "",
    }  # fmt: skip
    values = ["1", "0.5", "bad", "unsure", ""]
    fill(sheet, lambda place, row: row | {"value": values[place], "annotator": "7"})
    for _ in range(2):  # again, it changes nothing
        told = json.loads(run("label", "import", str(sheet), *ANNA, "--json"))
        assert told == {"file": str(sheet), "labelled": 3, "unsure": 1}
        assert written(database) == [3, 4, 3, 4]
    stages = json.loads(run("label", "status", "--json"))
    (stage,) = (each for each in stages if each["window"] == "all")
    assert [stage[name] for name in ("drawn", "leased", "labelled", "unsure")] == [5, 1, 3, 1]
    shown = run("label", "status")
    assert "segment default" in shown
    assert all(name in shown for name in ("drawn", "adjudicated", "kappa of pairs"))


def test_an_export_says_what_it_leased(run: Run, tmp_path: Path) -> None:
    words = ("--limit", "2", "--hours", "1", "--json")
    first = json.loads(run("label", "export", str(tmp_path / "1.csv"), *ANNA, *words))
    assert (first["queries"], first["answers"], first["hours"]) == (2, 2, 1)
    for name, rest in (("2.csv", 3), ("3.csv", 0)):
        other = ("label", "export", str(tmp_path / name), "--labeller", "bob", "--json")
        assert json.loads(run(*other))["queries"] == rest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.csv", "2.csv", "3.csv"]


def unknown(place: int, row: dict[str, str]) -> dict[str, str]:
    return graded(place, row | {"decision_id": str(decision_id(9))} if place == 3 else row)


def beyond(place: int, row: dict[str, str]) -> dict[str, str]:
    return row | {"value": "2" if place == 3 else "1"}


def another(place: int, row: dict[str, str]) -> dict[str, str]:
    return graded(place, row | {"answer": "b"} if place == 3 else row)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (unknown, r"^anna.csv:5: decision \S+ was not drawn: .*nothing was imported: mend"),
        (beyond, r"^anna.csv:5: value '2': give a number from 0 to 1"),
        (another, r"^anna.csv:5: no answer 'b' was shown, only a; nothing was imported"),
    ],
)
def test_one_bad_line_and_nothing_is_written(
    run: Run, sheet: Path, database: Database, change: Any, says: str
) -> None:
    fill(sheet, change)
    with pytest.raises(AssertionError, match=says):
        run("label", "import", str(sheet), *ANNA)
    assert written(database) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("meanwhile", "says"),
    [
        ("leased_until = now()", "the lease ended at .*: lease it again"),
        ("status = 'expired'", "the task expired before its label came"),
        ("leased_by = 'cli/bob'", "not leased to anna: lease it first"),
        ("status = 'labelled'", "was labelled by another: its label stands"),
        ("status = 'labelled', disputed = '{local}'", "was adjudicated: its label stands"),
    ],
)
def test_what_became_of_a_task_meanwhile_is_told_and_nothing_is_written(
    run: Run, sheet: Path, database: Database, meanwhile: str, says: str
) -> None:
    fill(sheet, graded)
    with psycopg.connect(database.url) as owner:
        change = f"UPDATE label_tasks SET {meanwhile} WHERE decision_id = %s"
        owner.execute(change.encode(), (decision_id(3),))
    before = written(database)
    with pytest.raises(AssertionError, match=rf"^anna\.csv:5: .*{says}; nothing was imported"):
        run("label", "import", str(sheet), *ANNA)
    assert written(database) == before


def test_another_labeller_cannot_hand_in_annas_file(
    run: Run, sheet: Path, database: Database
) -> None:
    fill(sheet, graded)
    with pytest.raises(AssertionError, match="not leased to bob"):
        run("label", "import", str(sheet), "--labeller", "bob")
    assert written(database) == [0, 0, 0, 0]


def test_killed_in_the_middle_it_has_written_nothing(
    run: Run, sheet: Path, database: Database
) -> None:
    fill(sheet, graded)
    command = [sys.executable, "-c", DIE_AT_THE_THIRD, "label", "import", str(sheet), *ANNA]
    environ = os.environ | {"PENSTOCK_CONFIG": str(EXAMPLE)}
    killed = subprocess.run(command, cwd=ROOT, env=environ, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert written(database) == [0, 0, 0, 0]
    run("label", "import", str(sheet), *ANNA)
    assert written(database) == [5, 5, 5, 5]


def test_a_lease_by_file_outlives_the_usual_one(run: Run, sheet: Path, database: Database) -> None:
    with psycopg.connect(database.url) as owner:
        row = owner.execute("SELECT min(leased_until) - now() FROM label_tasks").fetchone()
    assert row is not None
    assert row[0] > timedelta(hours=23) > labels.Terms().lease
