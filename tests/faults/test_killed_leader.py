"""kill -9 of the leader in the middle of its turn: the next one loses and doubles nothing.

Real control planes on a real Postgres. A lock of the test's own holds the leader at the statement
where it is to die, so that each kill lands where it is meant to. The same records in the same
order, undisturbed, must leave the same tables, and the same learner bit for bit.
"""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from controlplane.database import Database
from controlplane.launch import Part, running
from dataplane.strategies import Drawn
from tests.conftest import Databases
from tests.integration.test_controlplane_process import program, until
from tests.traffic import PostgresTraffic, label, query, records

pytestmark = pytest.mark.slow

CHUNK, CHUNKS = 110, 12  # queries that arrive at once, and how often; a retune takes 200


class Point(NamedTuple):
    """Where a turn is held: a table that is locked, and the statement that waits for it."""

    table: str
    statement: str

    @property
    def committed(self) -> bool:
        """Whether the turn is in the tables by then."""
        return self.statement == "UPDATE job_runs"


CLAIM = Point("job_runs", "INSERT INTO job_runs|WITH claimed|UPDATE job_runs")
BEGIN = Point("", "SELECT checksum FROM learner_state")  # the row that is its turn's own lock
OBSERVING = (
    CLAIM,
    BEGIN,
    Point("label_tasks", "INSERT INTO label_tasks"),
    Point("shadow_tasks", "INSERT INTO shadow_tasks"),
    Point("watermarks", "INSERT INTO watermarks"),
    Point("job_runs", "UPDATE job_runs"),
)
LEARNING = (
    Point("labels", "WITH told"),
    Point("estimates", "INSERT INTO estimates"),
)
PUBLISHING = (
    Point("policies", "INSERT INTO policies"),
    Point("publications", "INSERT INTO publications"),
    Point("events", "INSERT INTO events"),
)


def numbers(chunk: int) -> range:
    return range(chunk * CHUNK, (chunk + 1) * CHUNK)


def draws(number: int) -> list[Drawn]:
    """Every other query is audited, and of every sixth the cloud is asked too."""
    audit, shadow = Drawn("audit", 0.5), Drawn("shadow", 0.3, "cloud")
    return [*([audit] if number % 2 == 0 else []), *([shadow] if number % 6 == 0 else [])]


def answered(number: int) -> tuple[str, ...]:
    return ("local", "cloud") if number % 5 == 1 else ("local",)


def right(number: int) -> float:
    """The label of its local answer: the surer the score, the oftener."""
    return float(number % 23 < 5 + number % 16)


def arrive(scene: "Scene", chunk: int) -> None:
    """Its queries, in one transaction."""
    found = []
    for number in numbers(chunk):
        each = query(number, answered=answered(number), score=-0.1 * (number % 23))
        found += records(each, draws(number))
    scene.traffic.shipping.ship(*found)


def told(scene: "Scene", chunk: int) -> None:
    """All its labels: the application's word on some, people's on the others."""
    audited = [number for number in numbers(chunk) if number % 2 == 0]
    alone = {n for n in audited if n % 4 == 0 and n % 6 and answered(n) == ("local",)}
    words = [label(query(n), "local", right(n), "application:app") for n in sorted(alone)]
    scene.traffic.shipping.ship(*words)
    rows = [(query(n).at, query(n).decision_id, right(n)) for n in audited if n not in alone]
    with scene.store.transaction(), scene.store.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO labels (at, decision_id, key, value, source, basis)"
            " VALUES (%s, %s, 'local', %s, 'ground_truth', 'single')",
            rows,
        )
        cursor.executemany(
            "UPDATE label_tasks SET status = 'labelled', resolved_at = now()"
            " WHERE at = %s AND decision_id = %s",
            [row[:2] for row in rows],
        )


@dataclass
class Planes:
    """A leader, and one that stands by; whoever is killed is replaced."""

    directory: Path
    database: Database
    stack: ExitStack
    alive: list[Part]
    killed: dict[int, Point]  # by process id

    def start(self) -> None:
        name = f"plane-{len(self.alive) + len(self.killed)}"
        made = running(program(self.directory, self.database, name), self.directory)
        self.alive.append(self.stack.enter_context(made))

    def kill_leader(self, at: Point) -> None:
        part = self.alive.pop(0)
        os.kill(part.pid, signal.SIGKILL)
        until(lambda: part.ended)
        self.killed[part.pid] = at


@dataclass
class Scene:
    """One store, its traffic and its control planes."""

    store: psycopg.Connection[dict[str, Any]]
    gate: psycopg.Connection[Any]
    hold: psycopg.Connection[Any]
    traffic: PostgresTraffic
    planes: Planes

    def observed(self) -> int:
        row = self.store.execute(
            "SELECT body FROM learner_state WHERE name = 'observed'"
        ).fetchone()
        return int(row["body"]) if row else 0

    def learned(self) -> int:
        rows = self.store.execute("SELECT FROM label_tasks WHERE learned_at IS NOT NULL")
        return len(rows.fetchall())

    def published(self) -> int:
        return len(self.store.execute("SELECT FROM publications").fetchall())

    def waits(self, behind: psycopg.Connection[Any], statement: str) -> bool:
        """Whether a control plane waits for what this connection holds."""
        rows = self.store.execute(
            "SELECT query FROM pg_stat_activity"
            " WHERE application_name = 'penstock-controlplane' AND %s = ANY(pg_blocking_pids(pid))",
            (behind.info.backend_pid,),
        )
        return any(re.match(statement, row["query"].strip()) for row in rows)

    def turn(
        self, happens: Callable[[], None], count: Callable[[], int], wanted: int, at: Point | None
    ) -> None:
        """Let something happen before a turn, in which the leader dies at a point, if one is given.

        ``count``: by the tables; it is as wanted once a turn that saw it is committed.
        """
        self.hold_back(CLAIM if at == CLAIM else BEGIN)
        happens()
        if at is not None:
            if at not in (CLAIM, BEGIN):
                self.lead_to(at)
            assert (count() == wanted) == at.committed
            self.planes.kill_leader(at)
            self.planes.start()
            assert (count() == wanted) == at.committed
        self.gate.rollback()
        self.hold.rollback()
        until(lambda: count() == wanted)

    def hold_back(self, at: Point) -> None:
        """No turn goes beyond this point, where one waits by now."""
        if at == BEGIN:
            self.hold.execute("SELECT FROM learner_state WHERE name = 'learner' FOR UPDATE")
            until(lambda: self.waits(self.hold, at.statement))
        else:
            self.lock(at)
            until(lambda: self.waits(self.gate, at.statement))

    def lead_to(self, at: Point) -> None:
        """Let the turn that waits go on to this point."""
        self.lock(at)
        self.hold.rollback()
        until(lambda: self.waits(self.gate, at.statement))

    def lock(self, at: Point) -> None:
        """From now on this table is only read."""
        self.gate.execute(SQL("LOCK TABLE {} IN SHARE MODE").format(Identifier(at.table)))


@contextmanager
def scene(directory: Path, database: Database) -> Iterator[Scene]:
    directory.mkdir()
    with (
        psycopg.connect(database.url, autocommit=True, row_factory=dict_row) as store,
        psycopg.connect(database.url) as gate,
        psycopg.connect(database.url) as hold,
        ExitStack() as stack,
    ):
        planes = Planes(directory, database, stack, [], {})
        made = Scene(store, gate, hold, PostgresTraffic(database.url), planes)
        planes.start()
        until(lambda: bool(store.execute("SELECT FROM learner_state").fetchall()))
        planes.start()
        yield made


def live_through(
    scene: Scene, observing: Mapping[int, Point], learning: Mapping[int, Point]
) -> list[int]:
    """All chunks and their labels; the leader dies at these points. The chunks that published."""
    published = []
    for chunk in range(CHUNKS):
        before, queries = scene.published(), CHUNK * (chunk + 1)
        come, heard = partial(arrive, scene, chunk), partial(told, scene, chunk)
        scene.turn(come, scene.observed, queries, observing.get(chunk))
        scene.turn(heard, scene.learned, queries // 2, learning.get(chunk))
        if scene.published() > before:
            published.append(chunk)
    return published


# What must be there once, and be the same: times of the day apart.
TABLES: Mapping[str, LiteralString] = {
    "learner": "SELECT name, body FROM learner_state"
    " WHERE name NOT IN ('trust', 'rollout', 'frontier') ORDER BY name",  # see below, but the last
    "rollout": "SELECT (body::jsonb #- '{watch,since}') - 'place' AS rollout"
    " FROM learner_state WHERE name = 'rollout'",
    "gates": "SELECT (body::jsonb #- '{trials,0,2,since}') - 'place' AS trust"
    " FROM learner_state WHERE name = 'trust'",
    "watermarks": "SELECT * FROM watermarks ORDER BY plane, segment",
    "label tasks": "SELECT decision_id, probability, doubled, status,"
    " learned_at IS NULL AS unlearned FROM label_tasks ORDER BY created_at, decision_id",
    "shadow tasks": "SELECT decision_id, tier, probability, status, attempts FROM shadow_tasks"
    " ORDER BY decision_id, tier",
    "labels": "SELECT decision_id, key, value, source, basis FROM labels ORDER BY decision_id, key",
    "estimates": 'SELECT policy_version, "window", n, quality, lo, hi FROM estimates ORDER BY id',
    "events": "SELECT kind, body FROM events ORDER BY id",
    "policies": "SELECT version, parent, kind, author, reason,"
    " document::jsonb - 'issued_at' AS said FROM policies ORDER BY version",
    "publications": "SELECT seq, parent, in_force, reason FROM publications ORDER BY seq",
}


def accounts(scene: Scene) -> dict[str, list[dict[str, Any]]]:
    return {name: scene.store.execute(rows).fetchall() for name, rows in TABLES.items()}


def runs(scene: Scene, job: str) -> dict[int, Counter[str]]:
    """How the runs of a job ended, by the process that did them."""
    found: dict[int, Counter[str]] = {}
    for row in scene.store.execute("SELECT plane, status FROM job_runs WHERE job = %s", (job,)):
        found.setdefault(int(row["plane"].split(":")[1]), Counter())[row["status"]] += 1
    return found


def test_killed_anywhere_it_leaves_what_it_would_have_left_undisturbed(
    tmp_path: Path, databases: Databases, migrated: str
) -> None:
    with databases(migrated) as database, scene(tmp_path / "calm", database) as calm:
        published = live_through(calm, {}, {})
        wanted = accounts(calm)
    assert json.loads(state(wanted, "observed")) == CHUNK * CHUNKS
    assert len(wanted["label tasks"]) == CHUNK * CHUNKS // 2
    assert not any(row["unlearned"] for row in wanted["label tasks"])
    assert {row["kind"] for row in wanted["events"]} == {"retune", "alarm", "drift"}

    quiet = [chunk for chunk in range(CHUNKS) if chunk not in published]
    observing = dict(zip(quiet, OBSERVING, strict=False))
    observing |= dict(zip(published, PUBLISHING, strict=False))
    learning = dict(zip(range(6, CHUNKS), LEARNING, strict=False))
    assert len(observing) == len(OBSERVING) + len(PUBLISHING)
    with databases(migrated) as database, scene(tmp_path / "killed", database) as killed:
        live_through(killed, observing, learning)
        found = accounts(killed)
        for name, rows in wanted.items():
            assert found[name] == rows, name
        until(lambda: not unfinished(killed))
        endings = runs(killed, "cycle")
    assert len(killed.planes.killed) == len(observing) + len(learning)
    for pid, at in killed.planes.killed.items():
        assert endings[pid].keys() <= {"done", "abandoned"}
        assert endings[pid]["abandoned"] == 1 or at.table == "job_runs"


def state(found: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> str:
    (row,) = [row for row in found["learner"] if row["name"] == name]
    return str(row["body"])


def unfinished(scene: Scene) -> bool:
    """Whether a run of the dead is still said to be running."""
    rows = scene.store.execute("SELECT plane FROM job_runs WHERE status = 'running'").fetchall()
    return any(int(row["plane"].split(":")[1]) in scene.planes.killed for row in rows)
