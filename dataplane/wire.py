"""The little of HTTP that the front door and the chat route share, on bare ASGI."""

import asyncio
from collections.abc import Mapping

import orjson
from starlette.types import Message, Receive, Scope, Send

from dataplane.errors import ApiError, too_large, too_slow

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
BODY_S = 60.0  # for a whole body


class ClientGoneError(Exception):
    """The client closed the connection; there is nobody to answer."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first value of a header (lower-case name)."""
    found = next((value for key, value in scope["headers"] if key == name), None)
    return None if found is None else found.decode("latin-1")


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body; raises ``ApiError`` 413 as soon as it is known to be too large, 408 where it
    does not come in time.
    """
    stated = header(scope, b"content-length") or "0"
    if stated.isdigit() and int(stated) > limit_bytes:
        raise too_large(limit_bytes)
    try:
        async with asyncio.timeout(BODY_S):
            return await _whole(receive, limit_bytes)
    except TimeoutError:
        raise too_slow(BODY_S) from None


async def _whole(receive: Receive, limit_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
        if not message.get("more_body"):
            return bytes(body)


def given(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body which was read already, then what else comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Status and headers."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def respond(
    send: Send, status: int, body: bytes, headers: Mapping[str, str], kind: str = JSON
) -> None:
    """A whole response."""
    await start(send, status, {"content-type": kind, "content-length": str(len(body)), **headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, error: ApiError, headers: Mapping[str, str]) -> None:
    """An error in OpenAI's shape."""
    challenge = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    said = {**headers, **error.headers, **challenge}
    await respond(send, error.status, orjson.dumps(error.body()), said)
