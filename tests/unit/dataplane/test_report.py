from typing import Any, cast

import pytest

from dataplane import report
from dataplane.feed import Connection
from dataplane.guarded_tier import GuardedTier
from dataplane.report import EVERY_S, TELL, Report
from dataplane.tiers.base import TierHealth
from dataplane.tiers.fake import FakeTier


class Told:
    """A connection that keeps what it was told."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def execute(self, statement: str, row: dict[str, Any]) -> None:
        """Keep the row."""
        assert statement == TELL
        self.rows.append(row)


def test_it_tells_every_few_seconds_whatever_the_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(report, "monotonic", lambda: now_s)
    told, source = Told(), Report("plane-1", lambda: {"at": now_s})
    for _ in range(5):
        source.refresh(cast("Connection", told))
        now_s += EVERY_S / 2
    assert [row["body"] for row in told.rows] == [
        f'{{"at": {1000.0 + EVERY_S * turn}}}' for turn in range(3)
    ]
    assert {row["plane"] for row in told.rows} == {"plane-1"}


def test_what_could_not_be_told_is_due_again() -> None:
    class Away(Told):
        def execute(self, statement: str, row: dict[str, Any]) -> None:
            raise ConnectionError

    source, told = Report("plane-1", dict), Told()
    with pytest.raises(ConnectionError):
        source.refresh(cast("Connection", Away()))
    source.refresh(cast("Connection", told))
    assert len(told.rows) == 1


def test_a_tier_tells_of_its_breaker_and_its_engine() -> None:
    class Engine(FakeTier):
        def health(self) -> TierHealth:
            return TierHealth(up=True, restarts=2, account={"slots": 8, "queue_depth": 3})

    assert GuardedTier(Engine("local"), 1.0).report() == {
        "unavailable": None,
        "failures_in_a_row": 0,
        "restarts": 2,
        "slots": 8,
        "slots_busy": None,
        "queue_depth": 3,
        "memory_rss_bytes": None,
        "gpu_memory_used_bytes": None,
        "gpu_memory_bytes": None,
    }
