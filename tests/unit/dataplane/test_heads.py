"""Heads of requests over real connections of loopback."""

import asyncio
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from dataplane import heads
from dataplane.heads import HEAD_BYTES, BoundedHeads

GOOD = b"GET /x HTTP/1.1\r\nhost: x\r\n"


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    length = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"ok"})


async def heard(reader: asyncio.StreamReader) -> bytes:
    said = b""
    with suppress(ConnectionError):
        while part := await reader.read(4096):
            said += part
    return said


def conversation(*parts: bytes, pause_s: float = 0.0) -> bytes:
    """What a server says to a client that sends these parts, and then waits for the end."""

    async def run() -> bytes:
        config = uvicorn.Config(
            answering, lifespan="off", log_config=None, http=BoundedHeads, timeout_keep_alive=1
        )
        config.load()
        server = uvicorn.Server(config)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            lambda: BoundedHeads(config, server.server_state, {}), "127.0.0.1", 0
        )
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            hearing = asyncio.create_task(heard(reader))
            with suppress(ConnectionError):  # it may be closed while we speak
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
            said = await asyncio.wait_for(hearing, 10)
            writer.close()
            return said

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_S", 0.3)


def test_whole_requests_are_answered_however_many_come() -> None:
    body = b"POST /x HTTP/1.1\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000
    said = conversation(GOOD + b"\r\n", body, GOOD + b"\r\n", pause_s=0.05)
    assert said.count(b"200 OK") == 3


def test_a_slow_body_is_no_slow_head() -> None:
    begun = b"POST /x HTTP/1.1\r\ncontent-length: 3\r\n\r\n"
    assert b"200 OK" in conversation(begun, b"a", b"b", b"c", pause_s=0.2)


@pytest.mark.parametrize("before", [(), (GOOD + b"\r\n",)])
def test_a_head_that_does_not_end_is_given_up(before: tuple[bytes, ...]) -> None:
    said = conversation(*before, GOOD, b"x-slow: ", b"y", b"y", pause_s=0.15)
    assert said.count(b"200 OK") == len(before)


def test_a_connection_that_says_nothing_is_given_up() -> None:
    assert conversation() == b""


@pytest.mark.parametrize(
    "large",
    [b"GET /x HTTP/1.1\r\nx-large: %s\r\n\r\n", b"GET /x?%s HTTP/1.1\r\nhost: x\r\n\r\n"],
)
def test_a_head_that_is_too_large_is_refused_though_it_comes_in_one_piece(large: bytes) -> None:
    said = conversation(GOOD + b"\r\n", large % (b"y" * HEAD_BYTES), pause_s=0.05)
    assert said.count(b"200 OK") == 1
    assert b"HTTP/1.1 431 " in said
    assert b"HTTP/1.1 400 " not in said


def test_no_head_at_all_is_refused_as_such() -> None:
    assert conversation(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_head_that_is_too_large_is_refused_before_it_ends() -> None:
    said = conversation(GOOD, b"x-large: ", b"y" * (HEAD_BYTES + 1))
    assert said.startswith(b"HTTP/1.1 431 ")
