"""Shipper: the thread that brings the spool to Postgres, batch by batch.

Whatever the database does (away, hung, slow, back again) this thread waits, tries again and goes
on, and nobody waits for it. Nothing is released from the spool before its commit.
"""

import json
import logging
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from dataplane.frames import Batch
from dataplane.shipment import RefusedError, pass_over, ship
from dataplane.spool import Spool

INTERVAL_S = 0.1  # between two looks at a spool that was empty
DEADLINE_S = 30.0  # for one batch: a server that hangs is hung up on, and called again
RETRY_S, LONGEST_RETRY_S = 0.1, 5.0
CONNECT_S = 5
JOIN_S = 2.0  # a thread that a hung server still holds is left behind; the spool is closed to it
QUARANTINE = "quarantine.jsonl"

# A segment is deleted after the commit: the server must not forget commits when it crashes.
_KEEP_COMMITS = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)

log = logging.getLogger(__name__)


class Shipper:
    """Ships one spool to one database. What the database refuses for what it is, is put aside.

    ``backlog``: records that earlier processes left; ``taken``: how many of all of them have left
    the spool; ``last_error``: why the last try failed, None if it did not.
    """

    def __init__(self, spool: Spool, url: str, *, interval_s: float, deadline_s: float) -> None:
        self.backlog = self.taken = self.quarantined = 0
        self.last_error: str | None = None
        self._spool = spool
        self._url = url
        self._interval_s = interval_s
        self._deadline_s = deadline_s
        self._failures = 0
        self._connection: psycopg.Connection | None = None
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    @property
    def running(self) -> bool:
        """Whether the thread was started, and lives."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; returns at once, whether or not there is a database."""
        self._thread.start()

    def hasten(self) -> None:
        """Look at the spool, or try again, now."""
        self._wake.set()

    def stop(self) -> None:
        """End, in the middle of a batch if need be; returns when the thread has."""
        self._stopping = True
        self._wake.set()
        self._hang_up()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        with suppress(OSError):  # only a number: the batches say what is wrong
            self.backlog = self._spool.count_backlog()
        while not self._stopping:
            self._wake.wait(self._turn())
            self._wake.clear()
        self._disconnect()

    def _turn(self) -> float:
        """Ship one batch; how many seconds to wait before the next."""
        try:
            shipped = self._ship_next()
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever happens
            return self._failed(error)
        if self._failures:
            log.info("the database takes records again")
        self._failures, self.last_error = 0, None
        return 0.0 if shipped else self._interval_s

    def _failed(self, error: Exception) -> float:
        self._disconnect()
        self.last_error = _words(error)
        if not self._failures:
            log.warning("records wait in the spool: %s", self.last_error)
        pause_s = min(RETRY_S * 2.0**self._failures, LONGEST_RETRY_S)
        self._failures = min(self._failures + 1, 10)
        return pause_s * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret

    def _ship_next(self) -> bool:
        batch = self._spool.read(self._spool.shipped)
        if batch.lines:
            with self._bounded():
                self._deliver(self._connected(), batch)
        if batch.end != self._spool.shipped:
            self.taken += len(batch.lines)
            self._spool.release(batch.end)
        return bool(batch.lines)

    def _deliver(self, connection: psycopg.Connection, batch: Batch) -> None:
        """Halve a batch that is refused until the record to blame is alone."""
        try:
            ship(connection, self._spool.plane, batch)
        except RefusedError as refusal:
            if len(batch.lines) > 1:
                for half in batch.halves():
                    self._deliver(connection, half)
            else:
                self._quarantine(batch, str(refusal))
                pass_over(connection, self._spool.plane, batch)

    def _quarantine(self, batch: Batch, reason: str) -> None:
        kind, _, document = batch.lines[0].decode("utf-8", "replace").partition("\t")
        entry = {
            "plane": self._spool.plane,
            "segment": batch.start.segment,
            "offset": batch.start.offset,
            "reason": reason,
            "kind": kind,
            "record": document,
        }
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        file = os.open(self._spool.directory / QUARANTINE, flags, 0o600)
        try:
            os.write(file, json.dumps(entry).encode() + b"\n")
            os.fdatasync(file)
        finally:
            os.close(file)
        self.quarantined += 1
        log.warning("the database refuses a record of %s (%s): see %s", kind, reason, QUARANTINE)

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,  # a pooler may stand in between
                connect_timeout=CONNECT_S,
                tcp_user_timeout=10_000,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                client_encoding="utf8",
                application_name="penstock-recorder",
            )
            self._connection.execute(_KEEP_COMMITS)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        timer = threading.Timer(self._deadline_s, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _hang_up(self) -> None:
        """End the connection under this thread, which may wait for a server that never answers."""
        if connection := self._connection:
            with (
                suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(connection.fileno())) as line,
            ):
                line.shutdown(socket.SHUT_RDWR)


def _words(error: Exception) -> str:
    """One line; a server's own first words where there are some, for they quote no data."""
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return f"{error.diag.message_primary}: run `penstock db upgrade`"
    diagnosed = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return diagnosed or next(iter(str(error).strip().splitlines()), type(error).__name__)
