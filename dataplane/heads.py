"""Heads: the head of each request must come soon and be small, or its connection is closed.

Uvicorn asks neither of this parser: a client that never ends its headers would hold a connection,
and what it sent, for as long as it likes.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_S = 10.0
HEAD_BYTES = 64 << 10
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class BoundedHeads(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None  # while a head is awaited
    _size = 0  # of that head so far, and of what came with it
    _parsed = 0  # of that head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The first head is awaited from here on."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """More of a head, or of a body."""
        if self._timer is None and self._idle():
            self._await_head()
        self._size += len(data)
        super().data_received(data)
        if self._timer is not None and self._size > HEAD_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        """Another head."""
        self._parsed = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of what is asked for."""
        self._take(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._take(name, value)
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        """What the parser was stopped by is a head that is too large, or none at all."""
        if self._parsed > HEAD_BYTES:
            self._refuse()
        else:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._awaited()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._awaited()
        super().connection_lost(exc)

    def _take(self, *parts: bytes) -> None:
        """Of a head that comes in one piece, its end with it."""
        self._parsed += sum(map(len, parts))
        if self._parsed > HEAD_BYTES:
            raise ValueError("the head is too large")

    def _refuse(self) -> None:
        self.transport.write(TOO_LARGE)
        self._give_up()

    def _idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # there is none before the first request
        return cycle is None or cycle.response_complete

    def _await_head(self) -> None:
        self._size = 0
        self._timer = self.loop.call_later(HEAD_S, self._give_up)

    def _awaited(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._awaited()
        self.transport.close()
