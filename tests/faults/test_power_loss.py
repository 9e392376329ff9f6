"""A loss of power, SIMULATED: of each file only what was synchronised is left, and only its name
if the directory was synchronised since."""

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from dataplane.contract.records import Text, millisecond
from dataplane.spool import Spool

T0_MS = 1_700_000_000_000
SEGMENT_BYTES = 6000  # some forty records, so that segments begin while power may go
LOSSES = 25
WINDOW_S = 0.1
POSITION = "position.json"
DISK_S = 0.004  # a synchronisation of a usual disk


def record(number: int) -> Text:
    number_id = UUID(int=T0_MS << 80 | 7 << 76 | 2 << 62 | number)
    return Text(decision_id=number_id, at=millisecond(number_id), key="prompt", body="words")


def number(line: bytes) -> int:
    return Text.model_validate_json(line.partition(b"\t")[2]).decision_id.int & 0xFFFFFFFF


@dataclass(frozen=True)
class Loss:
    """What is left: contents by name; what had been acknowledged by then, or shipped."""

    at: float
    left: dict[str, bytes]
    acknowledged: dict[int, float]
    shipped: int

    def found(self, directory: Path) -> Spool:
        """The spool of the process that starts once power is back."""
        directory.mkdir()
        for name, content in self.left.items():
            (directory / name).write_bytes(content)
        return Spool(directory)


class Disk:
    """SIMULATED: knows at each moment what a loss of power would leave of one directory."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lock = threading.Lock()
        self.acknowledged: dict[int, float] = {}
        self.shipped = 0
        self._directory = directory
        self._synced: dict[str, bytes] = {}
        self._named: set[str] = set()
        monkeypatch.setattr(os, "fdatasync", self._fdatasync)
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fdatasync(self, file: int) -> None:
        path = Path(f"/proc/self/fd/{file}")
        content, name = path.read_bytes(), path.readlink().name
        time.sleep(DISK_S)
        with self.lock:
            self._synced[name] = content

    def _fsync(self, file: int) -> None:
        if Path(f"/proc/self/fd/{file}").readlink() != self._directory:
            return
        named = {path.name for path in self._directory.iterdir()}
        position = (self._directory / POSITION).read_bytes()  # synchronised before it was renamed
        time.sleep(DISK_S)
        with self.lock:
            self._named |= named
            self._synced[POSITION] = position

    def acknowledge(self, *numbers: int) -> None:
        with self.lock:
            self.acknowledged |= dict.fromkeys(numbers, time.monotonic())

    def ship(self, segment: int) -> None:
        with self.lock:
            self.shipped = max(self.shipped, segment)

    def lose_power(self) -> Loss:
        with self.lock:
            left = {name: self._synced.get(name, b"") for name in self._named}
            return Loss(time.monotonic(), left, dict(self.acknowledged), self.shipped)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    (tmp_path / "spool").mkdir()
    yield Disk(tmp_path / "spool", monkeypatch)
    monkeypatch.undo()


def losses(
    disk: Disk, load: Callable[[], None], ended: threading.Event, rng: random.Random
) -> list[Loss]:
    """What is left at moments of this load, which goes on until it is told that it ended."""
    thread, found = threading.Thread(target=load), []
    thread.start()
    for _ in range(LOSSES):
        time.sleep(rng.uniform(0.005, 0.08))
        found.append(disk.lose_power())
    ended.set()
    thread.join()
    return found


def left(loss: Loss, directory: Path) -> set[int]:
    spool, found = loss.found(directory), set[int]()
    at = spool.shipped
    while (batch := spool.read(at)).lines:
        found |= {number(line) for line in batch.lines}
        at = batch.end
    spool.close()
    return found


def test_what_was_acknowledged_with_durability_power_is_all_there(
    tmp_path: Path, disk: Disk
) -> None:
    spool = Spool(tmp_path / "spool", durability="power", segment_bytes=SEGMENT_BYTES)
    ended = threading.Event()

    async def client(first: int) -> None:
        at = first
        while not ended.is_set():
            spool.append([record(at)])
            await spool.durable()
            disk.acknowledge(at)
            at += 1

    async def load() -> None:
        await asyncio.gather(*(client(1_000_000 * each) for each in range(8)))

    found = losses(disk, lambda: asyncio.run(load()), ended, random.Random(1))
    segments = spool.segments()
    spool.close()
    for at, loss in enumerate(found):
        assert set(loss.acknowledged) <= left(loss, tmp_path / f"after{at}")
    assert len(found[-1].acknowledged) > 150
    assert len(segments) > 2


@pytest.mark.slow  # alone on the machine: a busy one may let the window slip
def test_with_durability_process_the_last_tenth_of_a_second_may_be_lost_and_no_more(
    tmp_path: Path, disk: Disk
) -> None:
    spool, ended = Spool(tmp_path / "spool", segment_bytes=SEGMENT_BYTES), threading.Event()

    def load() -> None:
        at = 0
        while not ended.wait(0.001):
            spool.append([record(at)])
            disk.acknowledge(at)
            at += 1

    found = losses(disk, load, ended, random.Random(2))
    spool.close()
    lost = 0
    for at, loss in enumerate(found):
        gone = set(loss.acknowledged) - left(loss, tmp_path / f"after{at}")
        lost += len(gone)
        assert all(loss.at - loss.acknowledged[each] <= WINDOW_S for each in gone)
    assert lost > LOSSES, "nothing was at risk"
    assert len(found[-1].acknowledged) > 300


def test_no_segment_that_was_shipped_gives_its_number_to_other_records(
    tmp_path: Path, disk: Disk
) -> None:
    spool, ended = Spool(tmp_path / "spool", segment_bytes=SEGMENT_BYTES), threading.Event()

    def load() -> None:
        at = 0
        while not ended.is_set():
            spool.append([record(at + more) for more in range(10)])
            at += 10
            batch = spool.read(spool.shipped)
            if batch.lines:
                disk.ship(batch.end.segment)
                spool.release(batch.end)

    found = losses(disk, load, ended, random.Random(3))
    spool.close()
    for at, loss in enumerate(found):
        after = loss.found(tmp_path / f"after{at}")
        assert after.segments()[-1] > loss.shipped
        after.close()
    assert found[-1].shipped > 10
