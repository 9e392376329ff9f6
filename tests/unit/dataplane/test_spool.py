import asyncio
import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from dataplane.contract.records import Text, millisecond
from dataplane.frames import Position, frame
from dataplane.spool import Spool, SpoolError, SpoolFull

T0_MS = 1_700_000_000_000


def record(number: int, body: str = "words") -> Text:
    number_id = UUID(int=T0_MS << 80 | 7 << 76 | 2 << 62 | number)
    return Text(decision_id=number_id, at=millisecond(number_id), key="prompt", body=body)


def bodies(spool: Spool) -> list[str]:
    """All that is not released, in order."""
    read, at = [], spool.shipped
    while (batch := spool.read(at)).lines:
        for line in batch.lines:
            kind, _, document = line.partition(b"\t")
            assert kind == b"texts"
            read.append(Text.model_validate_json(document).body)
        at = batch.end
    return read


def drain(spool: Spool) -> None:
    while (batch := spool.read(spool.shipped)).lines:
        spool.release(batch.end)
    spool.release(batch.end)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


def reopened(spool: Spool) -> Spool:
    spool.close()
    return Spool(spool.directory)


def live(spool: Spool) -> Path:
    return spool.directory / f"{spool.segments()[-1]:016d}.seg"


def test_records_come_back_in_order_with_the_bytes_that_were_spooled(spool: Spool) -> None:
    nasty = record(1, 'tab\t newline\n backslash\\ quote" \x7f \u2028 é')
    spool.append([nasty, record(2)])
    spool.append([record(3)])
    batch = spool.read(spool.shipped)
    assert batch.lines[0] == b"texts\t" + nasty.model_dump_json().encode()
    assert batch.start.offset == 0
    assert batch.last_offset == 2
    assert bodies(spool) == [nasty.body, "words", "words"]


def test_appending_nothing_writes_nothing(spool: Spool) -> None:
    spool.append([])
    assert live(spool).stat().st_size == 0
    assert spool.read(spool.shipped).lines == []


def test_batches_hold_whole_frames_and_continue_where_the_last_one_ended(spool: Spool) -> None:
    for first in range(0, 30, 3):
        spool.append([record(n, str(n)) for n in range(first, first + 3)])
    batch = spool.read(spool.shipped, max_records=4)
    assert len(batch.lines) == 6
    batch = spool.read(batch.end, max_bytes=1)
    assert batch.start.offset == 6
    assert len(batch.lines) == 3


def test_files_are_for_their_owner_only(spool: Spool) -> None:
    spool.append([record(1)])
    drain(spool)
    assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700
    for path in spool.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_two_holders_of_one_directory_are_refused(spool: Spool) -> None:
    with pytest.raises(SpoolError, match="held by another process"):
        Spool(spool.directory)


def test_segments_count_up_over_restarts_even_when_all_was_shipped(spool: Spool) -> None:
    plane, seen = spool.plane, [spool.segments()[-1]]
    for number in range(4):
        spool.append([record(number)])
        drain(spool)
        spool = reopened(spool)
        seen.append(spool.segments()[-1])
        assert bodies(spool) == []
    assert seen == sorted(set(seen))
    assert spool.plane == plane
    drain(spool)
    assert len(spool.segments()) == 1
    spool.close()


@pytest.mark.parametrize("content", [b"", b"{", b'{"plane": "x"}'])
def test_a_lost_position_gives_a_new_plane_name_and_loses_no_record(
    spool: Spool, content: bytes
) -> None:
    spool.append([record(1, "kept")])
    (spool.directory / "position.json").write_bytes(content)
    again = reopened(spool)
    assert again.plane != spool.plane
    assert again.segments()[-1] > spool.segments()[-1]
    assert bodies(again) == ["kept"]
    again.close()


def test_a_segment_ends_at_its_size_and_is_deleted_once_released(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=500)
    for number in range(20):
        spool.append([record(number, str(number))])
    assert len(spool.segments()) > 3
    assert bodies(spool) == [str(number) for number in range(20)]
    size = spool.pending_bytes
    spool.release(spool.read(spool.shipped, max_records=1).end)
    assert 0 < spool.pending_bytes < size
    drain(spool)
    assert spool.pending_bytes == 0
    assert list(tmp_path.glob("*.seg")) == [live(spool)]
    spool.close()


def test_any_torn_tail_is_ignored_and_swallows_nothing_that_follows(tmp_path: Path) -> None:
    torn = frame([record(2, "never acknowledged"), record(3)])
    for cut in (*range(10), *range(10, len(torn), 29), len(torn) - 1):
        spool = Spool(tmp_path / str(cut))
        spool.append([record(1, "before")])
        path = live(spool)
        spool.close()
        path.write_bytes(path.read_bytes() + torn[:cut])
        spool = Spool(tmp_path / str(cut))
        spool.append([record(4, "after")])
        assert bodies(spool) == ["before", "after"]
        assert spool.damaged == 0
        spool.close()


@pytest.mark.parametrize(
    "tail", [bytes(64), b"\xff" * 7, b"noise" * 999], ids=["zeros", "short", "noise"]
)
def test_a_tail_of_zeros_or_noise_swallows_nothing_that_follows(spool: Spool, tail: bytes) -> None:
    spool.append([record(1, "before")])
    path = live(spool)
    spool.close()
    path.write_bytes(path.read_bytes() + tail)
    spool = Spool(spool.directory)
    spool.append([record(2, "after")])
    assert bodies(spool) == ["before", "after"]
    spool.close()


@pytest.mark.parametrize("closed", [True, False])
def test_a_damaged_frame_is_counted_and_its_segment_set_aside(spool: Spool, closed: bool) -> None:
    spool.append([record(1, "whole")])
    second = live(spool).stat().st_size
    spool.append([record(2, "damaged")])
    spool.append([record(3, "behind it")])
    path, content = live(spool), bytearray(live(spool).read_bytes())
    content[second + 20] ^= 1
    path.write_bytes(content)
    if closed:
        spool = reopened(spool)
    assert bodies(spool) == ["whole"]
    spool.append([record(4, "next segment")])
    assert bodies(spool) == ["whole", "next segment"]
    drain(spool)
    assert spool.damaged == 1
    assert path.with_suffix(".damaged").exists()
    assert not path.exists()
    spool.close()


def test_a_segment_deleted_behind_our_back_is_counted_and_passed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=100)
    spool.append([record(1, "gone")])
    gone = live(spool)
    spool.append([record(2, "here")])
    gone.unlink()
    assert bodies(spool) == ["here"]
    assert spool.damaged == 1
    spool.close()


def test_a_full_spool_keeps_none_of_a_frame_and_recovers_when_it_drains(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1000)
    kept = 0
    while spool.pending_bytes < 800:
        spool.append([record(kept, str(kept))])
        kept += 1
    with pytest.raises(SpoolFull, match="1000, wait for the database"):
        spool.append([record(kept, "x" * 200)])
    assert spool.appended == kept
    assert bodies(spool) == [str(number) for number in range(kept)]
    drain(spool)
    spool.append([record(200, "again")])
    assert bodies(spool) == ["again"]
    spool.close()


@pytest.mark.parametrize("written", [0, 1, 50])
def test_a_short_write_is_undone(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    spool.append([record(1, "before")])
    write, size = os.pwrite, live(spool).stat().st_size
    path = live(spool)
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:written], at))
    with pytest.raises(SpoolFull, match="No space left"):
        spool.append([record(2)])
    monkeypatch.undo()
    assert path.stat().st_size == size
    spool.append([record(3, "after")])
    assert bodies(spool) == ["before", "after"]


def test_an_append_after_close_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.close()
    with pytest.raises(SpoolError, match="takes no records"):
        spool.append([record(1)])


def test_the_backlog_of_earlier_processes_is_counted_from_the_position(spool: Spool) -> None:
    for number in range(5):
        spool.append([record(number), record(number + 10)])
    spool.release(spool.read(spool.shipped, max_records=4).end)
    spool = reopened(spool)
    spool.append([record(99)])
    assert spool.count_backlog() == 6
    spool.close()


class Disk:
    """How much of each file an fdatasync has reached: what a power loss leaves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept: dict[int, int] = {}
        self.syncs = 0
        self.synced = threading.Event()
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, file: int) -> None:
        status = os.fstat(file)
        self._real(file)
        self.kept[status.st_ino] = status.st_size
        self.syncs += 1
        self.synced.set()


def test_power_durability_returns_after_the_sync_that_covers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    spool = Spool(tmp_path, durability="power", segment_bytes=2000)

    async def serve(number: int) -> None:
        spool.append([record(number)])
        status = live(spool).stat()
        await spool.durable()
        assert disk.kept[status.st_ino] >= status.st_size

    async def load() -> None:
        for wave in range(5):
            await asyncio.gather(*(serve(100 * wave + number) for number in range(40)))

    asyncio.run(load())
    assert len(spool.segments()) > 5
    assert disk.syncs < 100  # group commit: far fewer than one for each of the 200
    spool.close()


def test_power_durability_says_when_the_disk_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, durability="power")

    def refuse(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    spool.append([record(1)])
    with pytest.raises(SpoolError, match="Input/output error"):
        asyncio.run(spool.durable())
    monkeypatch.undo()
    asyncio.run(spool.durable())
    spool.close()


def test_process_durability_never_waits_and_syncs_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    spool = Spool(tmp_path)
    spool.append([record(1)])
    size, inode = live(spool).stat().st_size, live(spool).stat().st_ino
    asyncio.run(spool.durable())
    deadline = time.monotonic() + 10
    while disk.kept.get(inode, 0) < size:
        assert time.monotonic() < deadline
        disk.synced.wait(0.01)
    spool.close()


def test_the_position_file_is_replaced_as_a_whole(spool: Spool) -> None:
    spool.append([record(1)])
    drain(spool)
    known = json.loads((spool.directory / "position.json").read_bytes())
    assert known["plane"] == spool.plane
    assert Position(known["segment"], known["offset"], known["byte"]) == spool.shipped
    assert spool.shipped.offset == 1
