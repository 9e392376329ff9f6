"""Bodies that are too large or too slow, on bare ASGI."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from controlplane.bounds import BODY_BYTES, Bounded
from dataplane import wire

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/v1/labels", "headers": []}


class Inner:
    """An app that reads what it gets, and says how much that was."""

    def __init__(self) -> None:
        self.read: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.read.append(len(message["body"]))
        assert not message["more_body"]
        await wire.respond(send, 200, b"{}", {})


def answered(inner: Inner, parts: Sequence[bytes | None], length: int | None = None) -> list[int]:
    """The status of each answer to a body in these parts; None: the client is silent from here."""
    stated = [] if length is None else [(b"content-length", str(length).encode())]
    waiting, statuses = list(parts), list[int]()

    async def receive() -> Message:
        part = waiting.pop(0)
        if part is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(Bounded(inner)({**SCOPE, "headers": stated}, receive, send))
    return statuses


def test_a_body_comes_as_a_whole() -> None:
    inner = Inner()
    assert answered(inner, [b"ab", b"c"]) == [200]
    assert inner.read == [3]


def test_one_that_says_it_is_too_large_is_not_read() -> None:
    inner = Inner()
    assert answered(inner, [], BODY_BYTES + 1) == [413]
    assert inner.read == []


def test_one_that_does_not_say_so_is_read_no_further_than_the_bound() -> None:
    inner, part = Inner(), b"x" * (1 << 20)
    parts = [part] * 100
    assert answered(inner, parts) == [413]
    assert inner.read == []


def test_one_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_S", 0.05)
    inner = Inner()
    assert answered(inner, [b"a", None]) == [408]
    assert inner.read == []


def test_a_client_that_is_gone_is_not_answered() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    inner = Inner()
    asyncio.run(Bounded(inner)(SCOPE, gone, send))
    assert inner.read == []
