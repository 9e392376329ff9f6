"""Spool: the local durable queue of records, between the request path and the database.

Append-only segments of frames (``dataplane.frames``) in one directory that one process holds. A
process always begins a new segment, so that what a crash tore off can never swallow the next
record. ``append`` is one write(2): it survives the death of the process from the moment it
returns, and the loss of power within 100 ms (``process``) or once ``durable`` returned (``power``).
"""

import errno
import fcntl
import json
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias
from uuid import uuid4

from dataplane.contract.records import Record
from dataplane.frames import Batch, DamagedError, Position, collect, count, frame
from dataplane.syncer import Syncer

Durability: TypeAlias = Literal["process", "power"]

SYNC_EVERY_S = 0.05  # half of the promised 100 ms: a sync takes its time, too
_SUFFIX = ".seg"
_POSITION = "position.json"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # room may come back


class SpoolError(Exception):
    """The spool cannot take records, or cannot be opened; says why in one line."""


class SpoolFull(SpoolError):  # noqa: N818 - a state that passes, named as operators know it
    """No room: the disk or the file is full, or ``max_bytes`` are waiting. Nothing was kept."""


class Spool:
    """Records in order, each known by (plane, segment, offset); never one half of a frame.

    ``plane`` names this directory for ever; segments count up over restarts. ``append`` belongs to
    the request path, ``read`` and ``release`` to one shipping thread.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durability: Durability = "process",
        segment_bytes: int = 8 << 20,
        max_bytes: int = 1 << 30,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self.directory = directory
        self.durability = durability
        self.appended = 0
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._holder = _hold(directory / "lock")
        self._sizes = _found(directory)
        self._found = dict(self._sizes)
        self._damaged: set[int] = set()
        self._file = -1
        self._total = sum(self._sizes.values())
        self.plane, self.shipped = _recall(directory / _POSITION)
        self._segment = max((*self._sizes, self.shipped.segment))
        self._named = 0
        self._syncer = Syncer(directory, SYNC_EVERY_S)
        self._begin_segment()

    def append(self, records: Sequence[Record]) -> None:
        """Keep the records as one frame; raises ``SpoolError``, and then has kept none of them."""
        if not records:
            return
        data = frame(records)
        with self._lock:
            self._make_room(len(data))
            self._write(data)
            self._sizes[self._segment] += len(data)
            self._total += len(data)
            self.appended += len(records)
        self._syncer.dirty = True

    async def durable(self) -> None:
        """Return when all that was appended has the promised durability (``process``: at once).

        Raises ``SpoolError`` if the disk did not take it.
        """
        if self.durability == "process":
            return
        try:
            await self._syncer.durable()
        except OSError as error:
            raise SpoolError(f"spool {self.directory}: {error.strerror} in fdatasync") from error

    def segments(self) -> list[int]:
        """The segments on the disk; the last one is being written."""
        with self._lock:
            return sorted(self._sizes)

    @property
    def damaged(self) -> int:
        """Segments of which a part could not be read."""
        return len(self._damaged)

    @property
    def pending_bytes(self) -> int:
        """Bytes that were appended, by this process or an earlier one, and not released."""
        shipped = self.shipped
        with self._lock:
            return self._total - (shipped.byte if shipped.segment in self._sizes else 0)

    def read(self, start: Position, *, max_records: int = 2000, max_bytes: int = 2 << 20) -> Batch:
        """The next records at or after ``start``: whole frames of one segment.

        The batch is empty when there are none; ``end`` is always where to go on from. After a
        damaged frame the next segment is read.
        """
        for segment in self.segments():
            if segment < start.segment:
                continue
            if not self._surely_named(segment):
                break
            start = start if segment == start.segment else Position(segment, 0, 0)
            try:
                end_byte = self._sizes[segment]
                batch = collect(self._path(segment), start, end_byte, max_records, max_bytes)
            except (DamagedError, FileNotFoundError):
                self._leave_damaged(segment)
                continue
            if batch.lines:
                return batch
        return Batch(start, start, [])

    def release(self, upto: Position) -> None:
        """All before ``upto`` is safe elsewhere: delete what that frees, and remember it.

        A damaged segment is not deleted but set aside, as ``*.damaged``.
        """
        if self._file < 0:
            return  # another process may hold the directory by now
        for segment in self.segments():
            if segment < upto.segment:
                self._remove(segment)
        self.shipped = upto
        with suppress(OSError):  # a full disk: what is read again after a restart is shipped again
            _remember(self.directory / _POSITION, self.plane, upto)

    def count_backlog(self) -> int:
        """Records that earlier processes left and nobody released; reads them all once."""
        shipped = self.shipped
        return sum(
            count(self._path(segment), shipped.byte if segment == shipped.segment else 0, size)
            for segment, size in self._found.items()
            if segment >= shipped.segment
        )

    def close(self) -> None:
        """Synchronise, and let the directory go; a later append raises ``SpoolError``."""
        if self._file < 0:
            return
        with self._lock:
            self._file = -1
        self._syncer.close()
        os.close(self._holder)

    def _path(self, segment: int) -> Path:
        return self.directory / f"{segment:016d}{_SUFFIX}"

    def _remove(self, segment: int) -> None:
        path = self._path(segment)
        with suppress(FileNotFoundError):
            if segment in self._damaged:
                path.rename(path.with_suffix(".damaged"))
            else:
                path.unlink()
        with self._lock:
            self._total -= self._sizes.pop(segment)

    def _surely_named(self, segment: int) -> bool:
        """Whether the name of this segment outlives a loss of power, as what is shipped of it will.

        Were it lost, the next process would give its number to other records.
        """
        if segment > self._named:
            latest = self._segment
            try:
                self._syncer.name()
            except OSError:
                return False
            self._named = latest
        return True

    def _leave_damaged(self, segment: int) -> None:
        self._damaged.add(segment)
        with self._lock:
            if segment == self._segment:
                self._begin_segment()

    def _begin_segment(self) -> None:
        path = self._path(self._segment + 1)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._segment += 1
        self._sizes[self._segment] = 0
        self._syncer.follow(self._file)

    def _begin_if_used(self) -> None:
        if self._sizes[self._segment]:
            with suppress(OSError):  # then the segment goes on, for as long as the disk takes it
                self._begin_segment()

    def _make_room(self, size: int) -> None:
        if self._total + size > self._max_bytes:
            self._refuse(errno.EDQUOT, f"its max_bytes, {self._max_bytes}, wait for the database")
        if self._sizes[self._segment] + size > self._segment_bytes:
            self._begin_if_used()

    def _write(self, data: bytes) -> None:
        """One write at the end of what was acknowledged: what a refused one left is overwritten."""
        try:
            written = os.pwrite(self._file, data, self._sizes[self._segment])
        except OSError as error:
            self._refuse(error.errno, error.strerror or str(error))
        if written < len(data):
            self._refuse(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _refuse(self, number: int | None, reason: str) -> NoReturn:
        """Undo a part of a frame, and close the segment: once shipped it can go, and make room."""
        with suppress(OSError):
            os.ftruncate(self._file, self._sizes[self._segment])
        if number not in _NO_ROOM:
            raise SpoolError(f"spool {self.directory} takes no records: {reason}")
        self._begin_if_used()
        raise SpoolFull(f"spool {self.directory} is full: {reason}; free disk or let it drain")


def _hold(path: Path) -> int:
    """Lock the directory for the life of this process, however it ends."""
    holder = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(holder)
        raise SpoolError(
            f"spool {path.parent} is held by another process: give each data plane its own"
        ) from None
    return holder


def _found(directory: Path) -> dict[int, int]:
    return {int(path.stem): path.stat().st_size for path in directory.glob(f"*{_SUFFIX}")}


def _recall(path: Path) -> tuple[str, Position]:
    """Who this plane is and what it shipped; where that is lost, a new name: none is used twice."""
    try:
        known = json.loads(path.read_bytes())
        return str(known["plane"]), Position(known["segment"], known["offset"], known["byte"])
    except (FileNotFoundError, ValueError, KeyError):
        plane, start = str(uuid4()), Position(0, 0, 0)
        _remember(path, plane, start)
        return plane, start


def _remember(path: Path, plane: str, shipped: Position) -> None:
    """Replace the file as a whole: a crash leaves the old one or the new one."""
    draft = path.with_suffix(".draft")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, json.dumps({"plane": plane, **shipped._asdict()}).encode())
        os.fdatasync(file)
    finally:
        os.close(file)
    draft.replace(path)
