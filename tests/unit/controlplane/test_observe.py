"""The log in memory."""

from contextlib import AbstractContextManager, nullcontext

import pytest

from controlplane.observe import Log, MemoryLog, Source
from tests.checks.logs import LogBattery, Opened
from tests.traffic import MemoryTraffic, query


class TestMemoryLog(LogBattery):
    """The shared battery."""

    @pytest.fixture
    def traffic(self) -> MemoryTraffic:
        return MemoryTraffic()

    @pytest.fixture
    def opened(self, traffic: MemoryTraffic) -> Opened:
        def open_() -> AbstractContextManager[Log]:
            return nullcontext(traffic.log)

        return open_


def test_a_backlog_is_worked_off_in_batches() -> None:
    log = MemoryLog(batch=2)
    for number in range(5):
        log.complete(query(number))
    sizes: list[int] = []
    watermark: dict[Source, int] = {}
    for _ in range(4):
        found, reached = log.new(watermark)
        watermark = dict(reached)
        sizes.append(len(found))
    assert sizes == [2, 2, 1, 0]
