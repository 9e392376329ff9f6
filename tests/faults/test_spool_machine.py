"""The spool as a state machine: appends, shipments, crashes and full disks in any order."""

import os
import shutil
import tempfile
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dataplane.contract.records import Text, millisecond
from dataplane.frames import Batch, frame
from dataplane.spool import Spool, SpoolFull

T0_MS = 1_700_000_000_000


def record(number: int, size: int) -> Text:
    number_id = UUID(int=T0_MS << 80 | 7 << 76 | 2 << 62 | number)
    return Text(decision_id=number_id, at=millisecond(number_id), key="prompt", body="\\\n" * size)


class SpoolMachine(RuleBasedStateMachine):
    """A spool, a database that it is shipped to, and all that was ever acknowledged."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.made = 0
        self.acknowledged: list[int] = []
        self.refused: set[int] = set()
        self.stored: dict[tuple[str, int, int], int] = {}
        self.first_segments: list[int] = []
        self.open()

    def open(self) -> None:
        self.spool = Spool(self.directory, segment_bytes=1500, max_bytes=6000)
        self.first_segments.append(self.spool.segments()[-1])

    def batch_of_records(self, sizes: list[int]) -> list[Text]:
        batch = [record(self.made + index, size) for index, size in enumerate(sizes)]
        self.made += len(sizes)
        return batch

    @rule(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4))
    def append(self, sizes: list[int]) -> None:
        numbers = range(self.made, self.made + len(sizes))
        try:
            self.spool.append(self.batch_of_records(sizes))
        except SpoolFull:
            self.refused.update(numbers)
        else:
            self.acknowledged += numbers

    @rule(part=st.floats(0, 0.99), size=st.integers(1, 60))
    def append_to_a_full_disk(self, part: float, size: int) -> None:
        write = os.pwrite

        def short(file: int, data: bytes, at: int) -> int:
            return write(file, data[: int(part * len(data))], at)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "pwrite", short)
            with pytest.raises(SpoolFull):
                self.spool.append(self.batch_of_records([size, size]))
        self.refused.update((self.made - 2, self.made - 1))

    def commit(self, batch: Batch) -> None:
        for index, line in enumerate(batch.lines):
            key = (self.spool.plane, batch.start.segment, batch.start.offset + index)
            number = Text.model_validate_json(line.partition(b"\t")[2]).decision_id.int & 0xFFFFFFFF
            assert self.stored.setdefault(key, number) == number, "one source, two records"

    @rule(records=st.integers(1, 6))
    def ship(self, records: int) -> None:
        batch = self.spool.read(self.spool.shipped, max_records=records)
        self.commit(batch)
        self.spool.release(batch.end)

    @rule(records=st.integers(1, 6))
    def crash_between_commit_and_release(self, records: int) -> None:
        self.commit(self.spool.read(self.spool.shipped, max_records=records))
        self.crash(b"")

    @rule(
        part=st.floats(0, 0.99),
        tail=st.sampled_from(["frame", "zeros", "nothing"]),
    )
    def crash_in_the_middle_of_an_append(self, part: float, tail: str) -> None:
        whole = frame(self.batch_of_records([20, 20]))
        self.refused.update((self.made - 2, self.made - 1))
        torn = whole[: int(part * len(whole))]
        self.crash({"frame": torn, "zeros": bytes(len(torn)), "nothing": b""}[tail])

    def crash(self, tail: bytes) -> None:
        path = self.directory / f"{self.spool.segments()[-1]:016d}.seg"
        self.spool.close()
        with path.open("ab") as file:
            file.write(tail)
        (self.directory / "position.draft").write_bytes(tail)
        self.open()

    @precondition(lambda self: len(self.first_segments) < 20)
    @rule()
    def lose_the_position(self) -> None:
        plane = self.spool.plane
        (self.directory / "position.json").unlink()
        self.crash(b"")
        assert self.spool.plane != plane

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        pending, at = [], self.spool.shipped
        while (batch := self.spool.read(at)).lines:
            for line in batch.lines:
                document = Text.model_validate_json(line.partition(b"\t")[2])
                pending.append(document.decision_id.int & 0xFFFFFFFF)
            at = batch.end
        assert pending == sorted(set(pending)), "out of order, or twice"
        known = set(self.stored.values()) | set(pending)
        assert known == set(self.acknowledged)
        assert not known & self.refused

    @invariant()
    def segments_only_grow(self) -> None:
        assert self.first_segments == sorted(set(self.first_segments))

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            shutil.rmtree(self.directory)


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
