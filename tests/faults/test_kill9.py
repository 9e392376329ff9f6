"""kill -9 of a process that records and ships at the same time: nothing acknowledged is lost."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from controlplane.database import Database
from dataplane.recorder import Recorder
from dataplane.spool import Spool

# Acknowledges on stdout what was recorded, after record() said that it is kept.
WRITER = """
import asyncio, os, sys
from pathlib import Path
from dataplane.recorder import Recorder
from dataplane.spool import Spool
from tests.recorded import attempt, completion, admission

async def load():
    recorder = Recorder(Spool(Path(sys.argv[1]), segment_bytes=1 << 18), sys.argv[2])
    await recorder.start()
    while True:
        for _ in range(20):
            admitted = admission()
            assert recorder.record(*admitted)
            os.write(1, b"d" + admitted[0].id.bytes)
            recorder.record(*attempt(admitted[0]))
            assert recorder.record(*completion(admitted[0]))
            os.write(1, b"c" + admitted[0].id.bytes)
        await asyncio.sleep(float(sys.argv[3]))

asyncio.run(load())
"""
MESSAGE = 17
ROOT = Path(__file__).parents[2]


class Acknowledged:
    """What the writers said was kept: ids of decisions and of completions."""

    def __init__(self) -> None:
        self.decisions: list[UUID] = []
        self.completions: list[UUID] = []

    def take(self, told: bytes) -> None:
        """Whole messages; what a kill cut off was not said."""
        for at in range(0, len(told) - MESSAGE + 1, MESSAGE):
            told_of = self.decisions if told[at : at + 1] == b"d" else self.completions
            told_of.append(UUID(bytes=told[at + 1 : at + MESSAGE]))


@contextlib.contextmanager
def writer(directory: Path, url: str, pause_s: float) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", WRITER, str(directory), url, str(pause_s)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def live_and_die(
    process: subprocess.Popen[bytes], acknowledged: Acknowledged, decisions: int
) -> float:
    """Kill it in the middle of its work after so many acknowledgements; seconds until the first."""
    assert process.stdout is not None
    began = time.monotonic()
    told = process.stdout.read(MESSAGE)
    ready_s = time.monotonic() - began
    assert len(told) == MESSAGE, "the writer could not start"
    told += process.stdout.read(2 * decisions * MESSAGE)
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read()
    assert process.wait(10) == -signal.SIGKILL
    acknowledged.take(told)
    return ready_s


def ship_the_rest(directory: Path, url: str, timeout_s: float) -> None:
    async def run() -> None:
        recorder = Recorder(Spool(directory), url)
        await recorder.start()
        assert await recorder.drain(timeout_s)
        stats = recorder.stats()
        await recorder.stop()
        assert (stats.quarantined, stats.dropped, stats.damaged_segments) == (0, 0, 0)

    asyncio.run(run())


def stored(connection: psycopg.Connection, query: str) -> list[UUID]:
    return [row[0] for row in connection.execute(query.encode())]


def check_accounts(database: Database, acknowledged: Acknowledged) -> None:
    """Each acknowledged record is in Postgres, once; and no half of a frame is."""
    with psycopg.connect(database.url) as owner:
        decisions = stored(owner, "SELECT id FROM decisions")
        steps = stored(owner, "SELECT decision_id FROM steps")
        completions = stored(owner, "SELECT decision_id FROM completions")
        draws = stored(owner, "SELECT decision_id FROM draws")
        sources = owner.execute(
            'SELECT count(*), count(DISTINCT (plane, spool_segment, "offset")) FROM decisions'
        ).fetchone()
    assert len(set(acknowledged.decisions)) == len(acknowledged.decisions)
    assert not set(acknowledged.decisions) - set(decisions), "lost"
    assert not set(acknowledged.completions) - set(completions), "lost"
    assert len(set(decisions)) == len(decisions), "doubled"
    assert len(set(completions)) == len(completions), "doubled"
    assert sources == (len(decisions), len(decisions))
    assert sorted(steps) == sorted(decisions), "half of a frame"
    assert sorted(draws) == sorted(completions), "half of a frame"


def kill_again_and_again(
    database: Database, directory: Path, *, kills: int, decisions: int, pause_s: float
) -> tuple[Acknowledged, list[float]]:
    url = database.url_for("penstock_dataplane")
    seeded = random.Random(9)
    acknowledged, ready_s = Acknowledged(), []
    for _ in range(kills):
        with writer(directory, url, pause_s) as process:
            length = seeded.randint(decisions // 10, 2 * decisions)
            ready_s.append(live_and_die(process, acknowledged, length))
    ship_the_rest(directory, url, timeout_s=30 + len(acknowledged.decisions) / 400)
    return acknowledged, ready_s


def test_twenty_kills_lose_and_double_nothing(database: Database, tmp_path: Path) -> None:
    acknowledged, _ = kill_again_and_again(
        database, tmp_path / "spool", kills=20, decisions=250, pause_s=0.005
    )
    assert len(acknowledged.decisions) > 2_000
    check_accounts(database, acknowledged)


@pytest.mark.slow
def test_fifty_kills_over_a_hundred_thousand_decisions(database: Database, tmp_path: Path) -> None:
    acknowledged, ready_s = kill_again_and_again(
        database, tmp_path / "spool", kills=50, decisions=2_400, pause_s=0.0
    )
    assert len(acknowledged.decisions) >= 100_000
    check_accounts(database, acknowledged)
    assert sorted(ready_s)[len(ready_s) // 2] < 3
