"""The recorder on a real Postgres, as the role that a data plane has."""

import asyncio
import json
import stat
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from controlplane.database import Database
from dataplane.contract.records import KINDS, Completion, Record
from dataplane.recorder import Recorder, RecorderStats
from dataplane.shipment import ship
from dataplane.spool import Spool
from tests.recorded import admission, completion, query

T = TypeVar("T")
Use = Callable[[Recorder], Awaitable[T]]


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def url(database: Database) -> str:
    return database.url_for("penstock_dataplane")


def recording(directory: Path, url: str, use: Use[T], **options: Any) -> T:
    """What ``use`` returns of a recorder that runs, and is then stopped in good order."""

    async def run() -> T:
        recorder = Recorder(Spool(directory), url, **options)
        await recorder.start()
        try:
            return await use(recorder)
        finally:
            await recorder.stop(timeout_s=0.1)

    return asyncio.run(run())


def drained(*frames: Sequence[Record]) -> Use[RecorderStats]:
    async def use(recorder: Recorder) -> RecorderStats:
        for frame in frames:
            recorder.record(*frame)
        assert await recorder.drain(30)
        return recorder.stats()

    return use


def left_with(directory: Path, segments: int) -> Use[None]:
    """Wait until so many are left: what was shipped before is tidied away in the background."""

    async def use(_: Recorder) -> None:
        await until(lambda: len(list(directory.glob("*.seg"))) == segments)

    return use


def rows(owner: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return owner.execute(query.encode()).fetchall()


def count(owner: psycopg.Connection, table: str) -> int:
    return int(rows(owner, f"SELECT count(*) FROM {table}")[0][0])


def arrived(owner: psycopg.Connection) -> dict[int, int]:
    return dict(rows(owner, "SELECT segment, max(last_offset) FROM shipments GROUP BY segment"))


def stored(owner: psycopg.Connection, kind: str) -> list[Record]:
    columns = SQL(", ").join(map(Identifier, KINDS[kind].model_fields))
    found = owner.execute(SQL("SELECT {} FROM {}").format(columns, Identifier(kind)))
    return [
        KINDS[kind].model_validate(dict(zip(KINDS[kind].model_fields, row, strict=True)))
        for row in found
    ]


def test_every_kind_of_record_arrives_exactly_as_it_was_recorded(
    owner: psycopg.Connection, url: str, tmp_path: Path, golden_records: dict[str, Any]
) -> None:
    golden = [KINDS[kind].model_validate(body) for kind, body in golden_records.items()]
    assert {record.table for record in golden} == set(KINDS)
    stats = recording(tmp_path, url, drained(golden))
    assert [record for kind in golden_records for record in stored(owner, kind)] == golden
    assert (stats.shipped, stats.pending_records, stats.quarantined) == (len(golden), 0, 0)
    assert count(owner, "staging") == 0


def test_what_copy_and_postgres_find_hard_arrives_unchanged(
    owner: psycopg.Connection, url: str, tmp_path: Path
) -> None:
    frames = query()
    recording(tmp_path, url, drained(*frames))
    for record in (record for frame in frames for record in frame):
        assert stored(owner, record.table) == [record]


def test_each_row_knows_its_source_and_shipments_say_how_far_it_has_come(
    owner: psycopg.Connection, url: str, tmp_path: Path
) -> None:
    frames = [admission() for _ in range(5)]
    recording(tmp_path, url, drained(*frames))
    plane = json.loads((tmp_path / "position.json").read_text())["plane"]
    source = 'SELECT id, plane, spool_segment, "offset" FROM decisions ORDER BY "offset"'
    assert rows(owner, source) == [
        (decision.id, plane, 1, 2 * index) for index, (decision, _) in enumerate(frames)
    ]
    assert arrived(owner) == {1: 9}
    assert rows(owner, "SELECT sum(rows) FROM shipments") == [(10,)]


def test_a_restart_ships_what_the_process_before_it_left(
    owner: psycopg.Connection, url: str, tmp_path: Path
) -> None:
    spool = Spool(tmp_path)
    spool.append(admission())
    spool.close()
    stats = recording(tmp_path, url, drained(admission()))
    assert stats.shipped == 4
    assert stats.appended == 2
    assert count(owner, "decisions") == 2
    assert arrived(owner) == {1: 1, 2: 1}
    recording(tmp_path, url, left_with(tmp_path, 1))


@pytest.mark.parametrize("first", [1, 2, 5])
def test_a_batch_that_was_committed_and_not_released_is_shipped_again_without_harm(
    owner: psycopg.Connection, url: str, tmp_path: Path, first: int
) -> None:
    spool = Spool(tmp_path)
    for _ in range(5):
        spool.append(admission())
    committed = spool.read(spool.shipped, max_records=2 * first)
    assert len(committed.lines) == 2 * first
    with psycopg.connect(url, autocommit=True) as connection:
        ship(connection, spool.plane, committed)
        ship(connection, spool.plane, committed)
    spool.close()
    recording(tmp_path, url, drained())
    assert count(owner, "decisions") == count(owner, "steps") == 5
    assert arrived(owner) == {1: 9}


def test_a_record_that_the_database_refuses_holds_up_nothing(
    owner: psycopg.Connection, url: str, tmp_path: Path
) -> None:
    good = [query() for _ in range(10)]
    bad = Completion.model_construct(**dict(completion(admission()[0])[0]) | {"status": "poison"})
    frames = [frame for frames in good[:5] for frame in frames]
    frames += [(bad,), *(frame for frames in good[5:] for frame in frames)]
    stats = recording(tmp_path, url, drained(*frames))
    assert (stats.quarantined, stats.shipped, stats.last_error) == (1, 70, None)
    assert count(owner, "completions") == count(owner, "decisions") == 10
    assert arrived(owner) == {1: 70}
    quarantine = tmp_path / "quarantine.jsonl"
    entry = json.loads(quarantine.read_text())
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o600
    assert (entry["kind"], entry["segment"], entry["offset"]) == ("completions", 1, 35)
    assert json.loads(entry["record"])["decision_id"] == str(bad.decision_id)
    assert "status_is_known" in entry["reason"]


def test_a_kind_that_nobody_knows_is_put_aside(
    owner: psycopg.Connection, url: str, tmp_path: Path
) -> None:
    class Stranger(Completion):
        table = "strangers"

    known = admission()
    stranger = Stranger.model_construct(**dict(completion(known[0])[0]))
    stats = recording(tmp_path, url, drained([stranger], known))
    assert (stats.quarantined, stats.shipped) == (1, 2)
    assert arrived(owner) == {1: 2}


def test_a_missing_table_is_waited_for_and_nothing_is_put_aside(
    empty_database: Database, tmp_path: Path
) -> None:
    async def use(recorder: Recorder) -> RecorderStats:
        recorder.record(*admission())
        await until(lambda: recorder.stats().last_error is not None)
        return recorder.stats()

    url = empty_database.url_for("penstock_dataplane")
    stats = recording(tmp_path, url, use)
    assert "penstock db upgrade" in (stats.last_error or "")
    assert (stats.pending_records, stats.quarantined) == (2, 0)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_a_connection_that_is_cut_and_kept_out_is_made_again(
    owner: psycopg.Connection, postgres: Database, url: str, tmp_path: Path
) -> None:
    name = SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    this = Identifier(owner.info.dbname)

    async def use(recorder: Recorder) -> RecorderStats:
        recorder.record(*admission())
        assert await recorder.drain(30)
        with psycopg.connect(postgres.url, autocommit=True) as server:
            server.execute(name.format(this, SQL("false")))
            try:
                server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'penstock-recorder'"
                )
                recorder.record(*admission())
                await until(lambda: recorder.stats().last_error is not None)
                assert recorder.stats().pending_records == 2
            finally:
                server.execute(name.format(this, SQL("true")))
        assert await recorder.drain(30)
        await until(lambda: recorder.stats().last_error is None)  # a moment after the release
        return recorder.stats()

    stats = recording(tmp_path, url, use)
    assert (stats.shipped, stats.last_error) == (4, None)
    assert count(owner, "decisions") == 2


def test_commits_are_kept_even_where_the_server_would_be_careless(
    owner: psycopg.Connection, url: str, tmp_path: Path
) -> None:
    owner.execute(
        SQL("ALTER DATABASE {} SET synchronous_commit = off").format(Identifier(owner.info.dbname))
    )
    owner.execute("CREATE TABLE seen (setting text)")
    owner.execute(
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL;"
        " END $$"
    )
    owner.execute("CREATE TRIGGER seen AFTER INSERT ON shipments EXECUTE FUNCTION see()")
    recording(tmp_path, url, drained(admission()))
    assert set(rows(owner, "SELECT setting FROM seen")) == {("on",)}
