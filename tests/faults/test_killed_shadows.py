"""kill -9 of the leader while shadows are asked: each is recorded, charged and judged once.

The provider holds the answers back until the leader is dead. The data plane, which made the calls,
records them all the same; the next leader finds them there, and asks only what nobody asked.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from controlplane.database import Database
from controlplane.launch import Program, running
from tests.fronts import chat
from tests.integration.test_controlplane_process import program
from tests.planes import RealPlane, eventually, fine, issue_key, provider, real_plane

pytestmark = pytest.mark.slow

QUERIES = 10
PATIENCE_S = 60.0
SECTIONS = "shadow: {rate: 1.0}"  # the cloud serves all of them, and the local tier is asked too

Rows = Callable[[str], list[dict[str, Any]]]


class Provider:
    """Holds back what the local tier is asked, until it is let go; counts that by question."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.free = Event()

    def __call__(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["model"] == "small":
            self.asked[body["messages"][-1]["content"]] += 1
            assert self.free.wait(PATIENCE_S)
        return fine(body)


@pytest.fixture
def script() -> Iterator[Provider]:
    held = Provider()
    yield held
    held.free.set()


@pytest.fixture
def key(database: Database) -> str:
    """It may ask for answers, and for shadows."""
    return issue_key(database.url, "inference", "admin")


@pytest.fixture
def plane(tmp_path: Path, database: Database, script: Provider, key: str) -> Iterator[RealPlane]:
    (tmp_path / "plane").mkdir()
    with (
        provider(script) as upstream,
        real_plane(tmp_path / "plane", database, upstream, timeout_s=PATIENCE_S) as running_plane,
    ):
        yield running_plane


@pytest.fixture
def rows(database: Database) -> Iterator[Rows]:
    with psycopg.connect(database.url, autocommit=True, row_factory=dict_row) as owner:
        yield lambda statement: owner.execute(statement.encode()).fetchall()


@pytest.fixture
def controls(tmp_path: Path, database: Database, plane: RealPlane, key: str) -> list[Program]:
    """Two control planes that may ask the data plane for shadows."""
    asking = {"PENSTOCK_DATAPLANE_URL": plane.url, "PENSTOCK_DATAPLANE_KEY": key}
    return [program(tmp_path, database, name, SECTIONS, **asking) for name in ("one", "two")]


def ask(plane: RealPlane, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=plane.url, headers=headers, trust_env=False) as client:
        for number in range(QUERIES):
            body = chat(f"{number} + {number} = ?")
            assert client.post("/v1/chat/completions", json=body, timeout=30).status_code == 200


def test_a_shadow_under_way_is_neither_lost_nor_asked_twice(
    tmp_path: Path,
    key: str,
    plane: RealPlane,
    script: Provider,
    controls: list[Program],
    rows: Rows,
) -> None:
    one, two = controls
    with running(one, tmp_path) as leader:
        eventually(lambda: readiness(plane)["policy_age_s"] < PATIENCE_S)
        ask(plane, key)
        eventually(lambda: script.asked and tasks(rows).total() == QUERIES, PATIENCE_S)
        os.kill(leader.pid, signal.SIGKILL)
        eventually(lambda: leader.ended)
    left = tasks(rows)["leased"]
    script.free.set()
    eventually(lambda: rows(UNHEARD), PATIENCE_S)

    with running(two, tmp_path):
        eventually(lambda: tasks(rows) == +Counter(leased=left, done=QUERIES - left), PATIENCE_S)
        rows("UPDATE shadow_tasks SET leased_until = now() WHERE status = 'leased' RETURNING at")
        eventually(lambda: tasks(rows) == {"done": QUERIES}, PATIENCE_S)
        assert abandoned(rows) == 1
    assert len(script.asked) == QUERIES
    assert set(script.asked.values()) == {1}
    eventually(lambda: len(rows(SHADOWS)) == QUERIES, PATIENCE_S)
    for found in (SHADOWS, "SELECT decision_id FROM judge_scores WHERE purpose = 'shadow'"):
        assert set(Counter(row["decision_id"] for row in rows(found)).values()) == {1}


UNHEARD = """
SELECT FROM attempts a JOIN shadow_tasks t ON t.at = a.at AND t.decision_id = a.decision_id
WHERE a.purpose = 'shadow' AND t.status = 'leased'
"""
SHADOWS = "SELECT decision_id FROM attempts WHERE purpose = 'shadow'"


def tasks(rows: Rows) -> Counter[str]:
    """How many shadow tasks stand where."""
    return Counter(row["status"] for row in rows("SELECT status FROM shadow_tasks"))


def abandoned(rows: Rows) -> int:
    return len(rows("SELECT FROM job_runs WHERE job = 'shadow' AND status = 'abandoned'"))


def readiness(plane: RealPlane) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{plane.url}/readyz", trust_env=False).json()
    return found
