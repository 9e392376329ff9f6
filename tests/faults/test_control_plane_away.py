"""An hour of traffic without a control plane: serving goes on, its policy ages, all is made up for.

The gateway is a real process whose clock is the test's: each query takes its share of an hour. Its
records lie in Postgres when the control plane comes back, more than one turn takes.
"""

import os
import signal
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
import pytest

from controlplane import states
from controlplane.connection import connect
from controlplane.cycle import LEARNER
from controlplane.database import Database
from controlplane.launch import running
from controlplane.learn.learner import Learner
from controlplane.learn.settings import LearnerSettings
from controlplane.observe import BATCH
from tests.fronts import chat
from tests.integration.test_controlplane_process import program
from tests.planes import RealPlane, eventually, issue_key, provider

pytestmark = pytest.mark.slow

HOUR_S = 3600.0
QUERIES = 4_500  # in that hour
AFTERWARDS = 100
PATIENCE_S = 60.0
SECTIONS = "audit: {per_day: 240}"  # so that what came in the hour moves the policy

# The data plane by a clock that was set back, and is as far ahead of that as the file says.
CLOCK = """
import mmap, struct, sys, time
from uuid import UUID
from uuid_utils.compat import uuid7
from dataplane import __main__, subscription
from dataplane.contract import records

with open(sys.argv[1], "r+b") as file:
    clock = mmap.mmap(file.fileno(), 8)

def ahead_s():
    return struct.unpack("d", clock[:8])[0]

def ahead_ms():
    return int((ahead_s() - float(sys.argv[2])) * 1e3)

def new_id():
    return UUID(int=uuid7().int + (ahead_ms() << 80))

subscription.monotonic = lambda: time.monotonic() + ahead_s()
records.uuid7 = new_id
records.time_ns = lambda: time.time_ns() + ahead_ms() * 10**6
sys.exit(__main__.main(sys.argv[3:]))
"""


@dataclass
class ClockedPlane(RealPlane):
    """A data plane that begins an hour ago; time passes by ``pass_s`` alone."""

    passed_s: float = 0.0

    @property
    def clock(self) -> Path:
        return self.directory / "clock"

    @property
    def command(self) -> list[str]:
        clocked = [sys.executable, "-c", CLOCK, str(self.clock), str(HOUR_S)]
        return [*clocked, *super().command[3:]]

    def write(self) -> None:
        super().write()
        self.clock.write_bytes(struct.pack("d", 0.0))

    def pass_s(self, seconds: float) -> None:
        self.passed_s += seconds
        with self.clock.open("r+b") as file:
            file.write(struct.pack("d", self.passed_s))


@dataclass
class Application:
    """Asks the gateway through its API, four queries at a time."""

    plane: ClockedPlane
    asking: str
    reading: str
    statuses: Counter[int] = field(default_factory=Counter)

    def ask(self, count: int, *, within_s: float = 0.0) -> None:
        """So many queries, spread over so much of the plane's time."""
        headers = {"authorization": f"Bearer {self.asking}"}
        first = sum(self.statuses.values())
        with (
            httpx.Client(base_url=self.plane.url, headers=headers, trust_env=False) as client,
            ThreadPoolExecutor(4) as pool,
        ):

            def one(number: int) -> int:
                body = chat(f"{number} * {number % 13} = ?")
                return client.post("/v1/chat/completions", json=body, timeout=30).status_code

            for done in range(0, count, 20):
                self.statuses.update(
                    pool.map(one, range(first + done, first + min(done + 20, count)))
                )
                self.plane.pass_s(20 * within_s / count)

    def told(self, name: str) -> float:
        """A sample of the gateway's `/metrics`."""
        headers = {"authorization": f"Bearer {self.reading}"}
        answer = httpx.get(f"{self.plane.url}/metrics", headers=headers, trust_env=False)
        (line,) = [each for each in answer.text.splitlines() if each.startswith(f"{name} ")]
        return float(line.split()[1])


@pytest.fixture
def application(tmp_path: Path, database: Database) -> Iterator[Application]:
    keys = issue_key(database.url, "inference"), issue_key(database.url, "read")
    (tmp_path / "plane").mkdir()
    with provider() as upstream:
        plane = ClockedPlane(tmp_path / "plane", database, upstream)
        try:
            plane.start()
            yield Application(plane, *keys)
        finally:
            plane.stop()


Rows = Callable[[LiteralString], list[Any]]


@pytest.fixture
def rows(database: Database) -> Iterator[Rows]:
    """The values of a statement of one column."""
    with psycopg.connect(database.url, autocommit=True) as owner:
        yield lambda statement: [value for (value,) in owner.execute(statement)]


def test_an_hour_without_a_control_plane_is_made_up_for(
    tmp_path: Path, database: Database, application: Application, rows: Rows
) -> None:
    control = program(tmp_path, database, "control", SECTIONS)
    told = partial(application.told, "penstock_policy_age_seconds")
    with running(control, tmp_path) as part:
        eventually(lambda: told() < 60, PATIENCE_S)  # no longer the start policy's
        application.ask(AFTERWARDS)
        eventually(lambda: sum(turns(rows)) == AFTERWARDS, PATIENCE_S)
        os.kill(part.pid, signal.SIGKILL)

    (version,) = rows("SELECT max(version) FROM policies")
    eventually(lambda: application.told("penstock_policy_version") == version)
    ages_s = [told()]
    for _ in range(6):
        application.ask(QUERIES // 6, within_s=HOUR_S / 6)
        ages_s.append(told())
    assert all(later - age >= HOUR_S / 6 for age, later in pairwise(ages_s))
    eventually(lambda: application.told("penstock_policy_unconfirmed_seconds") < 60)  # by the store
    assert application.statuses == {200: AFTERWARDS + QUERIES}
    assert observed(rows) == AFTERWARDS
    eventually(lambda: application.told("penstock_spool_pending_records") == 0, PATIENCE_S)
    assert rows("SELECT max(policy_version) FROM decisions") == [version]

    everything = 2 * AFTERWARDS + QUERIES
    with running(control, tmp_path):
        application.ask(AFTERWARDS)
        eventually(lambda: sum(turns(rows)) == everything, PATIENCE_S)
        eventually(lambda: application.told("penstock_policy_version") > version, PATIENCE_S)
        assert told() < 60
    assert application.statuses == {200: everything}
    assert max(turns(rows)) <= BATCH
    assert len([each for each in turns(rows) if each > AFTERWARDS]) > QUERIES // BATCH
    assert observed(rows) == learner(database).observed == everything
    for task, draw in (("label", "audit"), ("shadow", "shadow")):
        (tasks,) = rows(f"SELECT array_agg(decision_id ORDER BY decision_id) FROM {task}_tasks")
        drawn = (
            f"SELECT array_agg(decision_id ORDER BY decision_id) FROM draws WHERE kind = '{draw}'"
        )
        assert [tasks] == rows(drawn)
        assert tasks


def turns(rows: Rows) -> list[int]:
    """How many queries each turn says it observed."""
    done = "SELECT detail FROM job_runs WHERE job = 'cycle' AND status = 'done' ORDER BY due_at"
    return [int(said.split()[0]) for said in rows(done)]


def observed(rows: Rows) -> int:
    """How many queries the control plane says it has seen."""
    found = rows("SELECT body FROM learner_state WHERE name = 'observed'")
    return int(found[0]) if found else 0


def learner(database: Database) -> Learner:
    with connect(database.url_for("penstock_controlplane")) as connection:
        body = states.load(connection, LEARNER)
    assert body is not None
    return Learner.from_json(body, LearnerSettings())
