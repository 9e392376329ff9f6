"""Two control planes and three data planes on one Postgres: the leader is stopped, and woken late.

The second one takes over in the middle of a proposal's life. Each stage is reached once, each
version is put in force once, all data planes serve the same in the end, and the woken one writes
nothing.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from controlplane import operators, proposals, registry
from controlplane.connection import Connect, connect
from controlplane.database import Database
from controlplane.launch import Part, running
from dataplane.contract.publication import parts
from dataplane.strategies import Drawn
from dataplane.subscription import Subscription
from tests.integration.test_controlplane_process import key, program, status, until
from tests.policies import policy
from tests.traffic import EPOCH_MS, PostgresTraffic, query

pytestmark = pytest.mark.slow

__all__ = ["key"]

SETTINGS = "proposals: {canary_queries: 20}\naudit: {held_out: 0}"
PAIRS, CANARY = 40, 60


def number_now() -> int:
    """Of a query that comes now."""
    return int((time.time() * 1000 - EPOCH_MS) / 100) + 1


@contextmanager
def data_planes(database: Database, folder: Path) -> Iterator[list[Subscription]]:
    """Three that look for what is newest, and answer, until the end."""
    start, over = policy("always_cloud"), Event()
    planes = [
        Subscription(folder / f"{name}.json", plane=name, tiers=("local", "cloud"), start=start)
        for name in ("a", "b", "c")
    ]
    url = database.url_for("penstock_dataplane")

    def follow(plane: Subscription) -> None:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            while not over.wait(0.1):
                plane.refresh(connection)

    threads = [Thread(target=follow, args=(plane,)) for plane in planes]
    for thread in threads:
        thread.start()
    try:
        yield planes
    finally:
        over.set()
        for thread in threads:
            thread.join()


def stage(store: Connect) -> str:
    with store() as connection:
        found = proposals.read(connection)
    return found.stage if found else ""


def propose(store: Connect) -> int:
    """Local alone, while the cloud serves; the live policy's quality is known."""
    with store() as connection:
        connection.execute(
            'INSERT INTO estimates (policy_version, "window", n, quality, lo, hi, detail)'
            " VALUES (1, 'structural_policy', 900, .95, .93, .97, '{}')"
        )
        live = registry.live(connection)
        document = operators.in_mode(live, "always_local")
        return operators.propose(connection, document, "ada", live.issued_at).version


def labelled_pairs(traffic: PostgresTraffic, observed: Callable[[], int], version: int) -> None:
    drawn = [Drawn("audit", 0.3, rival=version), Drawn("shadow", 0.3, "local", version)]
    first, before = number_now(), observed()
    served = [query(first + at, answered=("cloud",), cost_usd=1e-5) for at in range(PAIRS)]
    for each in served:
        traffic.complete(each, drawn)
    until(lambda: observed() >= before + PAIRS)
    for each in served:
        traffic.resolve(each, {"local": 1.0, "cloud": 0.0})


def canary_queries(traffic: PostgresTraffic, version: int) -> None:
    first = number_now() + PAIRS
    for at in range(CANARY):
        mine = at % 2 == 0
        tier = "local" if mine else "cloud"
        each = query(
            first + at,
            answered=(tier,),
            policy_version=version if mine else 1,
            cost_usd=1e-5,
        )
        traffic.complete(each)


def stopped(part: Part) -> None:
    os.kill(part.pid, signal.SIGSTOP)


def woken(part: Part) -> None:
    os.kill(part.pid, signal.SIGCONT)


def events(store: Connect) -> list[dict[str, Any]]:
    with store() as connection:
        rows = connection.execute("SELECT body FROM events WHERE kind = 'proposal' ORDER BY id")
        return [row["body"] for row in rows]


def test_a_leader_that_is_stopped_and_woken_writes_nothing_twice(
    tmp_path: Path, database: Database, key: str
) -> None:
    one, two = (program(tmp_path, database, name, SETTINGS) for name in ("one", "two"))
    store = partial(connect, database.url_for("penstock_controlplane"))
    traffic = PostgresTraffic(database.url)

    def observed() -> int:
        return int(str(status(two, key)["observed"]))

    with (
        running(one, tmp_path) as first,
        running(two, tmp_path),
        data_planes(database, tmp_path) as planes,
    ):
        until(lambda: bool(status(one, key)["leads"]))
        version = propose(store)
        until(lambda: stage(store) == "shadow")
        stopped(first)
        try:
            until(lambda: bool(status(two, key)["leads"]))
            labelled_pairs(traffic, observed, version)
            until(lambda: stage(store) == "canary")
        finally:
            woken(first)
        canary_queries(traffic, version)
        until(lambda: stage(store) == "live")
        until(lambda: {plane.policy_for("c").version for plane in planes} == {version})
        assert not status(one, key)["leads"]

    stages = Counter(event["stage"] for event in events(store))
    assert stages == {"candidate": 1, "shadow": 1, "canary": 1, "live": 1}
    with store() as connection:
        rows = connection.execute("SELECT seq, parent, in_force FROM publications ORDER BY seq")
        published = rows.fetchall()
        refused = connection.execute("SELECT FROM policy_acks WHERE status = 'nack'").fetchall()
    assert [row["parent"] for row in published] == [None, *range(1, len(published))]
    forces = [parts(row["in_force"]) for row in published]
    assert len(set(forces)) == len(forces) == 4  # the start, the shadow, the canary, live
    assert refused == []
