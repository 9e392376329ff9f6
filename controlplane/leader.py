"""Which control plane leads: the one whose session holds a Postgres advisory lock.

The lock ends with its session. A leader that is stopped leaves its session idle, which the server
then closes, and another control plane takes over; when the stopped one wakes, its session is gone
and it knows. What it had begun is refused by the row that the cycle locks and by the policies'
compare-and-swap.
"""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import psycopg

from controlplane.connection import Connection, connect

LOCK = 0x70656E73746F636B  # "penstock"
IDLE_SESSION_MS = 15_000  # several heartbeats


class NotLeaderError(Exception):
    """Another control plane leads, so this one must not write."""


class Leader:
    """A candidate for leadership; ``leads`` tries to win it, and is also the heartbeat."""

    def __init__(self, url: str, idle_session_ms: int = IDLE_SESSION_MS) -> None:
        self._url = url
        self._idle_session_ms = idle_session_ms
        self._connection: Connection | None = None
        self._mutex = threading.Lock()

    def leads(self) -> bool:
        """Whether this control plane leads now; without a database nobody does."""
        with self._mutex:
            if self._connection is not None and self._alive(self._connection):
                return True
            return self._campaign()

    def check(self) -> None:
        """Raises ``NotLeaderError`` unless the lock is still held."""
        with self._mutex:
            if self._connection is None or not self._alive(self._connection):
                raise NotLeaderError("leadership was lost: nothing of this turn is written")

    def resign(self) -> None:
        """Let another lead, at once: the server would only see later that we are gone."""
        with self._mutex:
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.resign()

    def _alive(self, connection: Connection) -> bool:
        try:
            connection.execute("SELECT")
        except psycopg.Error:
            self._close()
            return False
        return True

    def _campaign(self) -> bool:
        try:
            connection = connect(self._url, idle_session_timeout=self._idle_session_ms)
            connection.autocommit = True
            row = connection.execute("SELECT pg_try_advisory_lock(%s) AS won", (LOCK,)).fetchone()
        except psycopg.Error:
            return False
        if row is None or not row["won"]:
            connection.close()
            return False
        self._connection = connection
        return True

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
