"""Recorder: takes records on the request path, and leaves them to be shipped behind it.

``record`` is one write to the spool and never waits for a database; a ``Shipper`` brings the spool
to Postgres in a thread of its own. Sent at least once and inserted at most once, each record
becomes exactly one row.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dataplane.contract.records import Record
from dataplane.shipper import DEADLINE_S, INTERVAL_S, Shipper
from dataplane.spool import Spool, SpoolError

OnFull: TypeAlias = Literal["serve", "refuse"]

MARK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class RecorderStats:
    """Counts since this process began; what is pending includes what earlier ones left.

    ``oldest_pending_seconds`` counts from this process's start at most, and is exact to about a
    second. ``last_error`` says why records are not kept or not shipped, None while they are.
    """

    appended: int
    shipped: int
    pending_records: int
    pending_bytes: int
    oldest_pending_seconds: float
    dropped: int
    quarantined: int
    damaged_segments: int
    last_error: str | None


class Recorder:
    """Owns a spool until ``stop``. Without a ``database_url`` the spool just fills.

    ``on_full`` is the operator's choice for when the spool takes no more: ``serve`` queries
    unrecorded, each record counted as dropped, or ``refuse`` them.
    """

    def __init__(
        self,
        spool: Spool,
        database_url: str | None,
        *,
        on_full: OnFull = "serve",
        interval_s: float = INTERVAL_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._spool = spool
        self._on_full = on_full
        self._shipper = (
            Shipper(spool, database_url, interval_s=interval_s, deadline_s=deadline_s)
            if database_url
            else None
        )
        self._began = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque()  # when, and how many were appended by then
        self._marked = -MARK_EVERY_S
        self._dropped = 0
        self._refusal: str | None = None

    def record(self, *records: Record) -> bool:
        """Keep the records, all or none; says whether they are kept.

        Raises ``SpoolError`` where they are not and ``on_full`` is ``refuse``.
        """
        try:
            self._spool.append(records)
        except SpoolError as error:
            self._dropped += len(records)
            self._refusal = str(error)
            if self._on_full == "refuse":
                raise
            return False
        self._refusal = None
        self._mark()
        return True

    async def durable(self) -> None:
        """Return when all that was recorded has the spool's durability; raises ``SpoolError``."""
        await self._spool.durable()

    async def start(self) -> None:
        """Begin to ship, first what earlier processes left."""
        if self._shipper:
            self._shipper.start()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until all is shipped; False if it was not within ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        if self._shipper:
            self._shipper.hasten()
        while self._spool.pending_bytes:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Ship what can be shipped within ``timeout_s``; the rest stays in the spool."""
        if self._shipper and self._shipper.running:
            await self.drain(timeout_s)
            await asyncio.to_thread(self._shipper.stop)
        self._spool.close()

    def stats(self) -> RecorderStats:
        """The numbers now; never waits."""
        waiting_bytes = self._spool.pending_bytes
        backlog, taken = (self._shipper.backlog, self._shipper.taken) if self._shipper else (0, 0)
        quarantined = self._shipper.quarantined if self._shipper else 0
        waiting = backlog + self._spool.appended - taken
        return RecorderStats(
            appended=self._spool.appended,
            shipped=taken - quarantined,
            pending_records=max(waiting, 0) if waiting_bytes else 0,
            pending_bytes=waiting_bytes,
            oldest_pending_seconds=self._oldest_s(taken, backlog) if waiting_bytes else 0.0,
            dropped=self._dropped,
            quarantined=quarantined,
            damaged_segments=self._spool.damaged,
            last_error=(self._shipper and self._shipper.last_error) or self._refusal,
        )

    def _mark(self) -> None:
        now = time.monotonic()
        if now - self._marked >= MARK_EVERY_S:
            self._marked = now
            self._marks.append((now, self._spool.appended))

    def _oldest_s(self, taken: int, backlog: int) -> float:
        now = time.monotonic()
        if taken < backlog:
            return now - self._began
        while self._marks and self._marks[0][1] <= taken - backlog:
            self._marks.popleft()
        return now - self._marks[0][0] if self._marks else 0.0
