"""Frames: how records lie in a segment of the spool.

A segment is a file of frames, each appended by one write: ``length u32, crc32 u32, payload``,
little-endian. A payload is one line a record: its kind, a tab, its JSON (in which control
characters are escaped, so a tab or a newline ends exactly what it seems to end). A frame is read
whole or not at all, whatever a crash left behind it.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from dataplane.contract.records import Record

_HEADER = struct.Struct("<II")


class Position(NamedTuple):
    """A place in the spool: a segment, the ordinal of the next record in it, and its first byte."""

    segment: int
    offset: int
    byte: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole frames of one segment, as the lines of their records."""

    start: Position
    end: Position
    lines: list[bytes]

    @property
    def last_offset(self) -> int:
        """The offset of the last record."""
        return self.end.offset - 1

    def halves(self) -> tuple["Batch", "Batch"]:
        """The batch in two, to find the record that a database refuses."""
        half = len(self.lines) // 2
        middle = self.start._replace(offset=self.start.offset + half)
        return (
            Batch(self.start, middle, self.lines[:half]),
            Batch(middle, self.end, self.lines[half:]),
        )


class DamagedError(Exception):
    """A frame whose bytes are not those that were written."""


def frame(records: Sequence[Record]) -> bytes:
    """The records as one frame; they are serialised here, once, and never made again."""
    lines = [f"{record.table}\t{record.model_dump_json()}" for record in records]
    payload = "\n".join(lines).encode()
    return _HEADER.pack(len(payload), crc32(payload)) + payload


def payloads(path: Path, start_byte: int, end_byte: int) -> Iterator[tuple[int, bytes]]:
    """Each whole payload between two bytes, with the byte after its frame.

    An incomplete frame at the end is what a crash tore off before it was acknowledged: it is
    ignored. Raises ``DamagedError`` at a frame whose checksum fails (or that a file system filled
    with zeros).
    """
    with path.open("rb") as file:
        file.seek(start_byte)
        at = start_byte
        while at + _HEADER.size <= end_byte:
            length, checksum = _HEADER.unpack(file.read(_HEADER.size))
            after = at + _HEADER.size + length
            if after > end_byte:
                return
            payload = file.read(length)
            if not payload or crc32(payload) != checksum:
                raise DamagedError(f"{path.name}: the frame at byte {at} is damaged")
            at = after
            yield at, payload


def collect(path: Path, start: Position, end_byte: int, max_records: int, max_bytes: int) -> Batch:
    """The frames from ``start``, at least one if there is one, until either bound is reached.

    Raises ``DamagedError`` if the very first frame is damaged; a later one ends the batch.
    """
    lines: list[bytes] = []
    byte = start.byte
    try:
        for after, payload in payloads(path, start.byte, end_byte):
            lines += payload.split(b"\n")
            byte = after
            if len(lines) >= max_records or byte - start.byte >= max_bytes:
                break
    except DamagedError:
        if not lines:
            raise
    return Batch(start, Position(start.segment, start.offset + len(lines), byte), lines)


def count(path: Path, start_byte: int, end_byte: int) -> int:
    """How many records lie between two bytes, up to the first damaged frame."""
    records = 0
    try:
        for _, payload in payloads(path, start_byte, end_byte):
            records += payload.count(b"\n") + 1
    except DamagedError:
        pass
    return records
