"""The demo as a person runs it: a short run, to its end, with every query accounted for."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from rich.console import Console

from controlplane.connection import connect
from controlplane.database import Database, embedded
from controlplane.demo.options import Options, RealCloud
from controlplane.demo.story import run
from controlplane.launch import Program, free_ports, running, sheltered
from controlplane.rollups import add
from tests.pages import PAGES, charts, control_plane, page, said

pytestmark = pytest.mark.slow

PENSTOCK = (sys.executable, "-c", "from controlplane.cli import main; main()")
ROOT = Path(__file__).parents[2]
QUERIES = 800
LEFT = 8
UNPROPOSED = ("Nothing was proposed yet", "No proposal moved")  # true of a short run
SHOWN = {  # charts at least, tables at least, and words
    "overview": (4, 0, "SIMULATED"),
    "quality": (3, 0, "Cost and quality of ways to serve"),
    "judge": (2, 0, "Does it mean what it says?"),
    "cost": (2, 0, "What changed"),
    "decisions": (0, 1, "Choose a row to see why"),
    "labelling": (0, 0, "Answer"),
    "policies": (1, 2, "Versions over time"),
    "local_tier": (5, 0, "calls, served and shadows"),
    "system": (1, 4, "Jobs of the control plane"),
}
DEADLINE_S = 400


def penstock(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-canary"}
    return subprocess.run(
        [*PENSTOCK, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def kept() -> Iterator[Path]:
    """A finished run's data; beside it ``out.json``, ``stderr.txt``."""
    with TemporaryDirectory(prefix="penstock-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # for Postgres, if we are root
        words = ("demo", "--queries", str(QUERIES), "--seed", "1", "--json", "out.json")
        done = penstock(*words, "--keep", "run", cwd=folder)
        (folder / "stderr.txt").write_text(done.stderr)
        assert done.returncode in (0, 1), (
            done.stderr
        )  # 1: short of the target, as chance may have it
        yield folder


@pytest.fixture(scope="module")
def report(kept: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((kept / "out.json").read_text())
    return told


@pytest.fixture(scope="module")
def database(kept: Path) -> Iterator[Database]:
    with embedded(kept / "run") as found:
        yield found


@pytest.fixture(scope="module")
def store(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.url, autocommit=True) as owner:
        yield owner


def number(store: psycopg.Connection, statement: str) -> Any:
    row = store.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def test_every_query_is_accounted_for(report: dict[str, Any]) -> None:
    assert report["queries"] == QUERIES
    assert report["decisions_in_postgres"] == QUERIES
    assert report["decisions_replayed"] == QUERIES
    assert report["decisions_mismatched"] == 0
    assert sum(version["decisions"] for version in report["policy_versions"]) == QUERIES
    assert all(v["acked"] for v in report["policy_versions"] if v["decisions"])


def test_cost_is_the_sum_over_all_attempts_of_every_purpose(
    report: dict[str, Any], store: psycopg.Connection
) -> None:
    spent = number(store, "SELECT sum(cost_usd) FROM attempts")
    assert report["cost_usd"] == pytest.approx(spent, rel=1e-12)
    served = number(store, "SELECT sum(cost_usd) FROM attempts WHERE purpose <> 'shadow'")
    assert number(store, "SELECT sum(cost_usd) FROM completions") == pytest.approx(served)
    assert report["shadow_cost_usd"] == pytest.approx(spent - served)


def test_all_that_was_drawn_is_resolved_but_what_is_left_to_people(
    report: dict[str, Any], store: psycopg.Connection
) -> None:
    open_tasks = "SELECT count(*) FROM {} WHERE status IN ('pending', 'leased')"
    assert number(store, open_tasks.format("label_tasks")) == report["labels_left"] == LEFT
    assert number(store, open_tasks.format("shadow_tasks")) == 0
    assert number(store, "SELECT count(DISTINCT decision_id) FROM texts") == LEFT
    newest = """
        SELECT count(*) FROM label_tasks t WHERE status IN ('pending', 'leased') AND EXISTS (
            SELECT FROM label_tasks l WHERE l.status = 'labelled' AND l.at > t.at)
    """
    assert number(store, newest) == 0
    assert report["labels"] == number(store, "SELECT count(*) FROM outcomes")


def test_the_figures_hang_together(report: dict[str, Any]) -> None:
    low, high = report["quality_interval"]
    assert 0 <= low <= report["quality_estimate"] <= high <= 1
    assert report["always_local_quality"] < report["oracle_quality"]
    assert report["oracle_cost_usd"] < report["random_mix_cost_usd"]
    assert report["random_mix_cost_usd"] < report["always_cloud_cost_usd"]
    assert report["label_cost_usd"] == pytest.approx(report["labels"] * 0.002)


def test_what_is_simulated_says_so_and_an_exported_key_is_ignored(kept: Path) -> None:
    said = (kept / "stderr.txt").read_text()
    assert "SIMULATED" in said
    assert "untrained" in said
    for path in (kept / "run").rglob("*"):
        if path.is_file() and path.suffix in (".yaml", ".json", ".log", ".jsonl"):
            assert "sk-canary" not in path.read_text("utf-8", "replace"), path


def test_neither_plane_ever_held_an_answer_key(store: psycopg.Connection) -> None:
    sources = store.execute("SELECT DISTINCT source, labeller FROM outcomes").fetchall()
    assert sources == [("verifier", "verifier:SIMULATED")]
    undrawn = """
        SELECT count(*) FROM outcomes o WHERE NOT EXISTS (
            SELECT FROM draws d
            WHERE d.at = o.at AND d.decision_id = o.decision_id AND d.kind = 'audit'
        )
    """
    assert number(store, undrawn) == 0


def test_a_run_is_not_written_over(kept: Path) -> None:
    again = penstock("demo", "--keep", "run", cwd=kept)
    assert again.returncode == 2
    assert "is not empty: name a new directory with --keep" in again.stderr
    assert "Traceback" not in again.stderr


def test_real_money_needs_a_model_and_a_yes(tmp_path: Path) -> None:
    unnamed = penstock("demo", "--cloud", "openai", cwd=tmp_path)
    assert unnamed.returncode == 2
    assert "needs --model NAME" in unnamed.stderr
    unasked = penstock("demo", "--cloud", "openai", "--model", "gpt-x", cwd=tmp_path)
    assert unasked.returncode == 1
    assert "REAL MONEY" in unasked.stderr
    assert list(tmp_path.iterdir()) == []


def test_frozen_the_policy_does_not_move(tmp_path: Path) -> None:
    words = ("demo", "--queries", "300", "--freeze", "--json", "-")
    done = penstock(*words, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert [version["version"] for version in told["policy_versions"]] == [1]
    assert told["local_share"] < 0.05


def test_a_real_provider_is_asked_once_and_no_more(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    health = f"http://127.0.0.1:{port}/health"
    environment = {**sheltered(), "PENSTOCK_PROVIDER_KEY": "sk-real"}
    arguments = (f"--port={port}", "--watch-stdin")
    stand_in = Program("provider", "dataplane.sandbox.provider", arguments, environment, health)
    cloud = RealCloud("SIMULATED-cloud", "sk-real", 2.5, 10.0, f"http://127.0.0.1:{port}/v1")
    said = io.StringIO()
    with running(stand_in, tmp_path):
        told = run(
            Options(queries=200, rate_per_s=0, cloud=cloud), Console(file=said), lambda *_: None
        )
    assert told.decisions_in_postgres == 200
    assert told.cost_usd > 0
    assert told.always_cloud_cost_usd is None
    assert told.recovered_after_queries is None
    assert "the cloud tier and its list prices" not in said.getvalue()


def drifted(tmp_path: Path, drift: str, queries: int) -> tuple[dict[str, Any], str]:
    """The figures of a run with a drift, and what it said; all of it served and replayed."""
    words = ("demo", "--drift", drift, "--queries", str(queries), "--seed", "1", "--json", "-")
    done = penstock(*words, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["decisions_in_postgres"] == told["decisions_replayed"] == queries
    assert told["decisions_mismatched"] == 0
    assert told["drift"]["kind"] == drift
    assert queries // 2 <= told["drift"]["injected_at"] < queries
    assert f"SIMULATED drift at query {told['drift']['injected_at']:,}" in done.stderr
    return told, done.stderr


def test_a_price_that_falls_is_noticed_and_named(tmp_path: Path) -> None:
    told, said = drifted(tmp_path, "price", 1200)
    drift = told["drift"]
    named = {each["cause"]: each["after"] for each in drift["named"]}
    assert 0 < drift["noticed_after"] <= named["price"] <= 1200 - drift["injected_at"]
    assert "cloud are charged 0.3 times what they were, as the policy's prices" in said
    assert drift["cost_last_usd"] < drift["cost_before_usd"]


def test_a_local_tier_that_gets_weaker_shows_in_the_baselines(tmp_path: Path) -> None:
    told, said = drifted(tmp_path, "local", 1000)
    drift = told["drift"]
    assert (
        0.5 < told["always_local_quality"] < 0.7
    )  # half of the run .72, half three quarters of it
    assert drift["named_rightly"] == ([each["cause"] for each in drift["named"]] == ["local"])
    assert (drift["noticed_after"] is None) == ("noticed: not within this run" in said)


def test_its_data_plane_told_of_its_spool_and_its_engine(store: psycopg.Connection) -> None:
    told = "SELECT max((body #>> '{tiers,local,memory_rss_bytes}')::bigint) FROM plane_reports"
    assert number(store, told) > 10 << 20
    assert number(store, "SELECT max((body #>> '{spool,dropped}')::int) FROM plane_reports") == 0


def test_what_was_added_up_was_added_once(database: Database, store: psycopg.Connection) -> None:
    summed = number(store, "SELECT sum(queries) FROM query_rollups")
    assert 0 < summed <= number(store, "SELECT count(*) FROM completions")
    with connect(database.url_for("penstock_controlplane")) as connection:
        while add(connection, 100_000):
            pass
    assert number(store, "SELECT sum(queries) FROM query_rollups") == number(
        store, "SELECT count(*) FROM completions"
    )
    spent = number(store, "SELECT sum(cost_usd) FROM spend_rollups")
    assert spent == pytest.approx(number(store, "SELECT sum(cost_usd) FROM attempts"))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_something_to_show(
    name: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, tables, words = SHOWN[name]
    with control_plane(database) as beside:
        test = page(monkeypatch, name, database, beside)
    assert not test.exception
    assert not test.error
    assert charts(test) >= drawn
    assert len(test.dataframe) >= tables
    assert words in said(test)
    empty = [each.value for each in test.info]
    assert [each for each in empty if not each.startswith(UNPROPOSED)] == []
