"""`POST /v1/chat/completions` on bare ASGI: the one route where microseconds count."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import orjson
from starlette.types import Receive, Send

from dataplane import query, replies
from dataplane.access import Principal
from dataplane.budgets import Budgets, most_usd
from dataplane.errors import ApiError, internal
from dataplane.gateway import Gateway, Reply
from dataplane.query import ChatBody, Query
from dataplane.tiers.base import Delta
from dataplane.trail import Trail
from dataplane.wire import EVENTS, ClientGoneError, respond, start

log = logging.getLogger(__name__)

PATH = "/v1/chat/completions"

OPERATION: dict[str, Any] = {
    "summary": "Answer a chat by the tier that the policy chooses",
    "operationId": "chat_completions",
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatBody"}}},
    },
    "responses": {
        "200": {
            "description": "OpenAI's chat.completion, or its chunks as server-sent events",
            "content": {"application/json": {}, "text/event-stream": {}},
        },
        "default": {"description": "OpenAI's error object"},
    },
}


def schemas() -> dict[str, Any]:
    """The components that the operation refers to."""
    schema = ChatBody.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), "ChatBody": schema}


class Chat:
    """Reads a query, lets the gateway answer it, and writes the answer as the client wants it."""

    def __init__(self, gateway: Gateway, budgets: Budgets, *, max_tokens: int) -> None:
        self._gateway = gateway
        self._budgets = budgets
        self._max_tokens = max_tokens

    async def __call__(
        self,
        body: bytes,
        receive: Receive,
        send: Send,
        *,
        principal: Principal,
        request_id: str,
        conversation: str | None,
    ) -> None:
        """Serve one request; raises ``ApiError`` for as long as nothing was sent."""
        asked = query.read(
            body,
            tenant=principal.tenant,
            request_id=request_id,
            conversation=conversation,
            max_tokens=self._max_tokens,
            bounded=principal.spend_usd_per_day is not None,
        )
        trail = self._gateway.admit(asked)
        costs = partial(most_usd, trail, len(body)), lambda: trail.cost_usd
        with self._budgets.charging(principal, *costs):
            await self._serve(trail, receive, send)

    async def _serve(self, trail: Trail, receive: Receive, send: Send) -> None:
        async with _while_present(receive) as presence:
            writer = _Writer(send, trail, presence)
            try:
                async with aclosing(self._gateway.serve(trail)) as parts:
                    async for part in parts:
                        await writer.write(part)
            except ApiError as error:
                await writer.fail(error)
            except Exception:
                if not writer.started:
                    raise
                log.exception("request %s failed after its first byte", trail.query.request_id)
                await writer.fail(internal())


class _Presence:
    """Whether the response is complete: then a closed connection is none of our business."""

    complete = False
    gone = False


@asynccontextmanager
async def _while_present(receive: Receive) -> AsyncIterator[_Presence]:
    """Cancel what runs within as soon as the client is gone; raises ``ClientGoneError`` then."""
    serving = asyncio.current_task()
    assert serving is not None
    presence = _Presence()
    watching = asyncio.create_task(_watch(receive, presence, serving))
    try:
        yield presence
    except asyncio.CancelledError:
        if not presence.gone:
            raise
        serving.uncancel()
        raise ClientGoneError from None
    finally:
        watching.cancel()


async def _watch(receive: Receive, presence: _Presence, serving: "asyncio.Task[Any]") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not presence.complete:
        presence.gone = True
        serving.cancel()


class _Writer:
    """One response, in one piece or as events."""

    def __init__(self, send: Send, trail: Trail, presence: _Presence) -> None:
        self._send = send
        self._trail = trail
        self._presence = presence
        self._query: Query = trail.query
        self.started = False

    async def write(self, part: Delta | Reply) -> None:
        """The next part of the answer."""
        if isinstance(part, Delta):
            await self._pass_on(part)
        elif self._query.stream:
            await self._finish(part)
        else:
            await self._whole(part)

    async def fail(self, error: ApiError) -> None:
        """An error: after the first byte the status is fixed, so it becomes an event."""
        if not self.started:
            error.headers |= replies.headers(self._trail, None)
            raise error
        await self._events([replies.event(error.body())], more=False)

    async def _pass_on(self, delta: Delta) -> None:
        chunk = replies.passed(self._trail, delta)
        if chunk is not None:
            await self._start(replies.headers(self._trail, self._trail.asked))
            await self._events([replies.event(chunk)])

    async def _finish(self, reply: Reply) -> None:
        await self._start(replies.headers(self._trail, reply.tier, reply.cost_usd))
        chunks = [] if reply.streamed else list(replies.chunks(self._trail, reply))
        if self._query.include_usage:
            chunks.append(replies.last(self._trail, reply.answer))
        await self._events([*map(replies.event, chunks), replies.DONE], more=False)

    async def _whole(self, reply: Reply) -> None:
        self._presence.complete = True
        body = orjson.dumps(replies.completion(self._trail, reply))
        said = replies.headers(self._trail, reply.tier, reply.cost_usd)
        await respond(self._send, 200, body, {**self._common(), **said})

    async def _start(self, headers: dict[str, str]) -> None:
        if self.started:
            return
        self.started = True
        said = {"content-type": EVENTS, "cache-control": "no-cache", **self._common(), **headers}
        await start(self._send, 200, said)

    async def _events(self, events: list[bytes], *, more: bool = True) -> None:
        self._presence.complete = not more
        message = {"type": "http.response.body", "body": b"".join(events), "more_body": more}
        await self._send(message)

    def _common(self) -> dict[str, str]:
        return {"x-request-id": self._query.request_id}
