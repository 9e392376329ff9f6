"""Feed: what the store tells a running data plane, by NOTIFY and by a poll, on one connection.

It runs in a thread of its own with blocking calls: a stopped or slow server blocks that thread and
nothing else, so nothing here is ever awaited by a request.
"""

import asyncio
import logging
import selectors
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

Connection: TypeAlias = psycopg.Connection[DictRow]

CONNECT_TIMEOUT_S = 5
LOST_AFTER_MS = 15_000  # of silence from a server over TCP
JOIN_TIMEOUT_S = 2.0

log = logging.getLogger(__name__)


class Source(Protocol):
    """Something kept in step with the store."""

    channel: str

    def refresh(self, connection: Connection) -> None:
        """Read what is new, in the feed's thread; raises ``psycopg.Error``."""
        ...


class Feed:
    """Refreshes its sources at connecting, at each NOTIFY, and every ``poll_s`` seconds."""

    def __init__(
        self, url: str, sources: Sequence[Source], *, poll_s: float = 5.0, retry_s: float = 1.0
    ) -> None:
        self.connected = False
        self._url = url
        self._sources = sources
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._stopping = False
        self._bell, self._ringer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin; returns at once, whether or not the store can be reached."""
        self._thread.start()

    def hasten(self) -> None:
        """Refresh now; returns at once."""
        with suppress(OSError):  # it has ended, or the bell rings loud enough
            self._ringer.send(b"\0", socket.MSG_DONTWAIT)

    async def stop(self) -> None:
        """End; a thread that a hung server holds is left behind, it dies with the process."""
        self._stopping = True
        self.hasten()
        await asyncio.to_thread(self._thread.join, JOIN_TIMEOUT_S)

    def _run(self) -> None:
        with self._bell, self._ringer:
            self._keep_following()

    def _keep_following(self) -> None:
        while not self._stopping:
            try:
                with self._connect() as connection:
                    self._follow(connection)
            except psycopg.Error as error:
                self._lost(error)
            finally:
                self.connected = False
            if not self._stopping:
                self._wait(self._retry_s)

    def _connect(self) -> Connection:
        return psycopg.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            application_name="penstock-dataplane",
            connect_timeout=CONNECT_TIMEOUT_S,
            tcp_user_timeout=LOST_AFTER_MS,
            keepalives_idle=LOST_AFTER_MS // 2000,
            keepalives_interval=LOST_AFTER_MS // 4000,
        )

    def _follow(self, connection: Connection) -> None:
        for source in self._sources:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(source.channel)))
        self.connected = True
        log.info("following the store")
        news = {source.channel for source in self._sources}
        while not self._stopping:
            self._refresh(connection, news)
            told = _told(connection)  # while refreshing: the socket will not speak of it again
            if not told and self._wait(self._poll_s, connection):
                told = _told(connection)
            news = told or {source.channel for source in self._sources}

    def _refresh(self, connection: Connection, channels: set[str]) -> None:
        for source in self._sources:
            if source.channel not in channels:
                continue
            try:
                source.refresh(connection)
            except Exception:
                if connection.closed:
                    raise
                log.exception("%s could not be refreshed", source.channel)

    def _wait(self, seconds: float, connection: Connection | None = None) -> bool:
        """Sleep until the bell, the connection or the time; True where the connection spoke."""
        waiting: list[Any] = [self._bell] if connection is None else [self._bell, connection]
        with selectors.DefaultSelector() as selector:
            for one in waiting:
                selector.register(one, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(seconds)]
        if self._bell in ready:
            self._bell.recv(4096)
        return connection in ready

    def _lost(self, error: psycopg.Error) -> None:
        level = logging.WARNING if self.connected else logging.DEBUG
        log.log(level, "the store cannot be reached, serving the last good state: %s", error)


def _told(connection: Connection) -> set[str]:
    """The channels of the notifications that have arrived."""
    return {notify.channel for notify in connection.notifies(timeout=0)}
