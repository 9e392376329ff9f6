import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.recorder import Recorder
from dataplane.spool import Spool, SpoolFull
from tests.recorded import admission, query


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, max_bytes=20_000)
    yield spool
    spool.close()


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """Takes connections and never says a word: what a stopped Postgres looks like."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


def fill(recorder: Recorder) -> int:
    kept = 0
    while recorder.record(*admission()):
        kept += 2
    return kept


def test_what_is_recorded_is_counted_as_pending(spool: Spool) -> None:
    recorder = Recorder(spool, None)
    assert recorder.stats().pending_records == 0
    for frame in query():
        assert recorder.record(*frame)
    stats = recorder.stats()
    assert (stats.appended, stats.pending_records, stats.shipped) == (7, 7, 0)
    assert stats.pending_bytes == spool.pending_bytes > 0
    assert stats.oldest_pending_seconds > 0
    assert stats.last_error is None


def test_a_full_spool_may_serve_and_count_what_it_drops(spool: Spool) -> None:
    recorder = Recorder(spool, None, on_full="serve")
    kept = fill(recorder)
    assert not recorder.record(*admission())
    stats = recorder.stats()
    assert (stats.appended, stats.dropped) == (kept, 4)
    assert "is full" in (stats.last_error or "")


def test_a_full_spool_may_refuse_and_counts_that_too(spool: Spool) -> None:
    kept = fill(Recorder(spool, None))
    recorder = Recorder(spool, None, on_full="refuse")
    with pytest.raises(SpoolFull, match="is full"):
        recorder.record(*admission())
    stats = recorder.stats()
    assert (stats.appended, stats.dropped) == (kept, 2)


def test_room_that_comes_back_is_used_and_the_error_goes(spool: Spool) -> None:
    recorder = Recorder(spool, None)
    fill(recorder)
    while (batch := spool.read(spool.shipped)).lines:
        spool.release(batch.end)
    spool.release(batch.end)
    assert recorder.record(*admission())
    assert recorder.stats().last_error is None


def test_draining_without_a_database_gives_up_in_time(spool: Spool) -> None:
    recorder = Recorder(spool, None)
    assert asyncio.run(recorder.drain(0.0))
    recorder.record(*admission())
    assert not asyncio.run(recorder.drain(0.05))


async def until_error(recorder: Recorder) -> str:
    deadline = time.monotonic() + 10
    while not (error := recorder.stats().last_error):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return error


def test_a_database_that_is_away_costs_the_request_path_nothing(spool: Spool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def serve() -> None:
        recorder = Recorder(spool, f"postgresql://nobody:secret-word@127.0.0.1:{port}/none")
        recorder.record(*admission())
        await recorder.start()
        error = await until_error(recorder)
        assert "refused" in error
        assert "secret-word" not in error
        assert "\n" not in error
        assert recorder.record(*admission())
        assert recorder.stats().pending_records == 4
        await recorder.stop(timeout_s=0.1)

    asyncio.run(serve())
    assert spool.pending_bytes > 0


def test_a_database_that_never_answers_does_not_keep_us_from_stopping(
    spool: Spool, silent_server: socket.socket
) -> None:
    port = silent_server.getsockname()[1]

    async def serve() -> float:
        recorder = Recorder(spool, f"postgresql://nobody@127.0.0.1:{port}/none")
        recorder.record(*admission())
        await recorder.start()
        peer, _ = await asyncio.to_thread(silent_server.accept)
        began = time.monotonic()
        assert recorder.record(*admission())
        await recorder.stop(timeout_s=0.1)
        peer.close()
        return time.monotonic() - began

    assert asyncio.run(serve()) < 5
