"""What the workload tells of each query; true scores, which neither plane ever sees."""

import threading
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Line(BaseModel):
    """One query's end. ``right`` is 1 where the served answer was right, 0 also where none came."""

    model_config = ConfigDict(frozen=True)

    place: int
    at: float
    decision_id: str | None
    policy_version: int | None
    tier: str | None
    cost_usd: float
    right: int
    latency_ms: float
    error: str | None


class Lines:
    """The lines so far, read by a thread of its own from the workload's output."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._lines: list[Line] = []
        self._thread = threading.Thread(target=self._read, args=(source,), daemon=True)
        self._thread.start()

    def so_far(self) -> list[Line]:
        """Those that have come, as they came."""
        return self._lines[:]

    @property
    def count(self) -> int:
        """How many have come."""
        return len(self._lines)

    @property
    def next_place(self) -> int:
        """The place after the last of them."""
        return 1 + max((line.place for line in self._lines[:]), default=-1)

    def all(self) -> list[Line]:
        """All of them by place, when the workload has closed its output."""
        self._thread.join()
        return sorted(self._lines, key=lambda line: line.place)

    def _read(self, source: Iterable[bytes]) -> None:
        for line in source:
            self._lines.append(Line.model_validate_json(line))


def quality(lines: Iterable[Line]) -> float:
    """The share served rightly."""
    rights = [line.right for line in lines]
    return sum(rights) / len(rights) if rights else 0.0


def save(lines: Iterable[Line], path: Path) -> None:
    """Keep them beside the run's data, once nobody decides or learns any more."""
    path.write_text("".join(f"{line.model_dump_json()}\n" for line in lines), "utf-8")
