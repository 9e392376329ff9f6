"""An HTTP server on loopback that answers as a test tells it to, byte by byte if need be."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Play: TypeAlias = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request, and the means to answer it."""

    path: str
    headers: dict[str, str]
    body: Any
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, content: Any, status: int = 200, **headers: str) -> None:
        """A whole JSON response."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *lines])
        await self.send(f"{head}\r\n\r\n".encode() + body)

    async def open_stream(self) -> None:
        """The head of a chunked event stream."""
        await self.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

    async def chunk(self, data: bytes) -> None:
        """One HTTP chunk; an empty one ends the body."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def events(self, chunks: Iterable[Any], *, done: bool = True) -> None:
        """A whole event stream."""
        await self.open_stream()
        for chunk in chunks:
            await self.chunk(f"data: {json.dumps(chunk)}\n\n".encode())
        if done:
            await self.chunk(b"data: [DONE]\n\n")
        await self.chunk(b"")

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(ConnectionError):
            await self.reader.read()

    def reset(self) -> None:
        """Cut the connection without an orderly end."""
        self.writer.transport.abort()


@dataclass
class ScriptedUpstream:
    """What the server has seen."""

    base_url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    accepted: int = 0
    connected: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def empty(self, timeout_s: float = 0.5) -> None:
        """Wait until no connection is left open."""
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(lambda: not self.connected)


@asynccontextmanager
async def scripted(play: Play) -> AsyncIterator[ScriptedUpstream]:
    """Serve on a free port; `play` answers each request."""
    upstream = ScriptedUpstream()
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        upstream.accepted += 1
        upstream.connected += 1
        try:
            while exchange := await _request(reader, writer):
                upstream.exchanges.append(exchange)
                upstream.asked.set()
                await play(exchange)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            upstream.connected -= 1
            running.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            async with upstream.changed:
                upstream.changed.notify_all()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Exchange(first.split()[1], headers, json.loads(raw or b"null"), writer, reader)
