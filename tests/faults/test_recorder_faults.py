"""A database that hangs, a disk that takes no more: serving goes on, all is accounted for."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from controlplane.database import Database, embedded, upgrade
from dataplane.recorder import Recorder
from dataplane.spool import Spool
from tests.recorded import admission

ROOT = Path(__file__).parents[2]
SLOW_S = 2.0
UNFIT = {"fsync": "off", "full_page_writes": "off"}


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A server of this module's own: it is about to be stopped under its clients."""
    with embedded(tmp_path_factory.mktemp("private"), UNFIT) as server:
        upgrade(server.url)
        yield server


def processes_of(server: Database) -> list[int]:
    """The postmaster and its children, the postmaster first: it must not start new ones."""
    directory = Path(str(conninfo_to_dict(server.url)["host"]))
    with psycopg.connect(server.url) as connection:
        (data,) = connection.execute("SHOW data_directory").fetchone() or (str(directory),)
    postmaster = int((Path(data) / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


@contextmanager
def hung(server: Database) -> Iterator[None]:
    stopped = []
    try:
        for process in processes_of(server):
            try:
                os.kill(process, signal.SIGSTOP)
            except ProcessLookupError:
                continue  # the connection that asked for the directory
            stopped.append(process)
        yield
    finally:
        for process in stopped:
            with suppress(ProcessLookupError):  # it was ending, and did
                os.kill(process, signal.SIGCONT)


async def load(recorder: Recorder, seconds: float) -> list[float]:
    """Record at a steady pace; how long each call took, in ms."""
    took_ms = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        frame = admission()
        began = time.perf_counter()
        assert recorder.record(*frame)
        took_ms.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(0.0005)
    return took_ms


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def decisions_in(server: Database) -> int:
    with psycopg.connect(server.url) as owner:
        (number,) = owner.execute("SELECT count(*) FROM decisions").fetchone() or (0,)
    return int(number)


def test_a_hung_postgres_is_not_felt_on_the_request_path(private: Database, tmp_path: Path) -> None:
    before = decisions_in(private)

    async def run() -> int:
        recorder = Recorder(Spool(tmp_path), private.url_for("penstock_dataplane"), deadline_s=0.5)
        await recorder.start()
        normal_ms = await load(recorder, 1.5)
        assert await recorder.drain(30)
        with hung(private):
            hung_ms = await load(recorder, 2.5)
            await until(lambda: recorder.stats().last_error is not None)
            assert recorder.stats().pending_records >= 2
            assert recorder.stats().oldest_pending_seconds > 1
        assert await recorder.drain(30)
        stats = recorder.stats()
        await recorder.stop()
        assert (stats.last_error, stats.dropped) == (None, 0)
        assert stats.shipped == 2 * (len(normal_ms) + len(hung_ms))
        assert median(hung_ms) < 3 * median(normal_ms)
        p99 = quantiles(hung_ms, n=100)[-1]
        assert p99 < max(10 * quantiles(normal_ms, n=100)[-1], 5.0)
        return len(normal_ms) + len(hung_ms)

    recorded = asyncio.run(run())
    assert decisions_in(private) - before == recorded


@contextmanager
def slow_line(server: Database, directory: Path, over: threading.Event) -> Iterator[str]:
    """A URL by which each thing that the server says is heard 2 s later, until it is over."""
    there = conninfo_to_dict(server.url_for("penstock_dataplane"))
    name = f".s.PGSQL.{there.get('port', 5432)}"

    def pass_on(heard: socket.socket, told: socket.socket, delay_s: float) -> None:
        with suppress(OSError):
            while data := heard.recv(65_536):
                over.wait(delay_s)
                told.sendall(data)
        with suppress(OSError):
            told.shutdown(socket.SHUT_RDWR)

    def serve(listening: socket.socket, stack: ExitStack) -> None:
        with suppress(OSError):
            while True:
                client = stack.enter_context(listening.accept()[0])
                theirs = stack.enter_context(socket.socket(socket.AF_UNIX))
                theirs.connect(f"{there['host']}/{name}")
                for way in ((client, theirs, 0.0), (theirs, client, SLOW_S)):
                    threading.Thread(target=pass_on, args=way, daemon=True).start()

    with ExitStack() as stack, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / name))
        listening.listen()
        accepting = threading.Thread(target=serve, args=(listening, stack), daemon=True)
        accepting.start()
        yield make_conninfo("", **{**there, "host": str(directory)})
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join()


def test_a_slow_postgres_is_not_felt_on_the_request_path(private: Database, tmp_path: Path) -> None:
    before = decisions_in(private)
    (tmp_path / "line").mkdir()

    over = threading.Event()

    async def run(url: str) -> int:
        recorder = Recorder(Spool(tmp_path / "spool"), url)
        normal_ms = await load(recorder, 1.5)
        await recorder.start()
        slow_ms = await load(recorder, 3 * SLOW_S)
        assert recorder.stats().pending_records
        over.set()
        assert await recorder.drain(30)
        stats = recorder.stats()
        await recorder.stop()
        assert (stats.last_error, stats.dropped) == (None, 0)
        assert median(slow_ms) < 3 * median(normal_ms)
        assert quantiles(slow_ms, n=100)[-1] < max(10 * quantiles(normal_ms, n=100)[-1], 5.0)
        return len(normal_ms) + len(slow_ms)

    with slow_line(private, tmp_path / "line", over) as url:
        recorded = asyncio.run(run(url))
    assert decisions_in(private) - before == recorded


def test_stopping_while_postgres_hangs_takes_no_longer_than_asked(
    private: Database, tmp_path: Path
) -> None:
    before = decisions_in(private)
    url = private.url_for("penstock_dataplane")

    async def run() -> float:
        recorder = Recorder(Spool(tmp_path), url)
        await recorder.start()
        recorder.record(*admission())
        assert await recorder.drain(30)
        with hung(private):
            recorder.record(*admission())
            began = time.monotonic()
            await recorder.stop(timeout_s=0.3)
            return time.monotonic() - began

    async def rest() -> None:
        recorder = Recorder(Spool(tmp_path), url)
        await recorder.start()
        assert await recorder.drain(30)
        await recorder.stop()

    assert asyncio.run(run()) < 5
    asyncio.run(rest())
    assert decisions_in(private) - before == 2


# Runs with a bounded file size, then with none at all, then free again.
FULL_DISK = """
import json, resource, sys
from pathlib import Path
from dataplane.recorder import Recorder
from dataplane.spool import Spool
from tests.recorded import admission

spool = Spool(Path(sys.argv[1]))
recorder = Recorder(spool, None, on_full="serve")
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
kept, phases = [], []
for limit in (100_000, 0, hard):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    frames = [admission() for _ in range(300)]
    taken = [str(frame[0].id) for frame in frames if recorder.record(*frame)]
    kept += taken
    phases.append(len(taken))
stats = recorder.stats()
print(json.dumps({"kept": kept, "phases": phases, "appended": stats.appended,
                  "dropped": stats.dropped, "last_error": stats.last_error}))
"""


def test_a_full_disk_drops_what_it_counts_and_corrupts_nothing(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    account = json.loads(told.stdout)
    limited, nothing, free = account["phases"]
    assert 290 <= limited < 300  # each time the file was full, and a new one was begun
    assert (nothing, free) == (0, 300)
    assert account["dropped"] == 2 * (900 - len(account["kept"]))
    assert account["last_error"] is None

    spool = Spool(tmp_path)
    read, at = [], spool.shipped
    while (batch := spool.read(at)).lines:
        documents = (json.loads(line.partition(b"\t")[2]) for line in batch.lines)
        read += [document["id"] for document in documents if "id" in document]
        at = batch.end
    assert read == account["kept"]
    assert spool.damaged == 0
    spool.close()
