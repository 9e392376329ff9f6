"""The engine's HTTP face: one ASGI callable with three routes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from dataplane.engine import memory, wire
from dataplane.engine.chat import ChatTemplate, PromptError
from dataplane.engine.generation import Event, Failed, Finished, Generation, Piece
from dataplane.engine.request import ChatRequest, RequestError, parse
from dataplane.engine.scheduler import Deliveries, QueueFullError, Scheduler

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 8 * 2**20
_RETRY_AFTER = [(b"retry-after", b"1")]


class Gone(Exception):  # noqa: N818  # not an error: the client went away
    """The client closed its connection."""


class App:
    """Serves one model. `context` is the most tokens of prompt and answer together."""

    def __init__(
        self, scheduler: Scheduler, template: ChatTemplate, *, model: str, context: int, slots: int
    ) -> None:
        self._scheduler = scheduler
        self._template = template
        self._model = model
        self._context = context
        self._slots = slots
        self._started = int(time.time())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._route(f"{scope['method']} {scope['path']}", receive, send)
        except RequestError as refused:
            busy = _RETRY_AFTER if refused.status == 429 else []
            await _reply(send, wire.error(refused), status=refused.status, headers=busy)
        except Gone:
            return

    async def _route(self, route: str, receive: Receive, send: Send) -> None:
        if route == "POST /v1/chat/completions":
            await self._chat(receive, send)
        elif route == "GET /health":
            await _reply(send, self._health())
        elif route == "GET /v1/models":
            await _reply(send, self._models())
        else:
            raise RequestError(f"no such route: {route}", status=404, code="unknown_url")

    def _health(self) -> wire.Json:
        gpu = memory.gpu()
        return {
            "status": "ok",
            "model": self._model,
            "context": self._context,
            "slots": self._slots,
            "slots_busy": self._scheduler.slots_busy,
            "queue_depth": self._scheduler.queue_depth,
            "memory_rss_bytes": memory.resident_bytes(),
            "gpu_memory_used_bytes": gpu and gpu.used,
            "gpu_memory_bytes": gpu and gpu.whole,
        }

    def _models(self) -> wire.Json:
        model = {
            "id": self._model,
            "object": "model",
            "created": self._started,
            "owned_by": "local",
        }
        return {"object": "list", "data": [model]}

    async def _chat(self, receive: Receive, send: Send) -> None:
        wanted = parse(_decode(await _body(receive)))
        inbox: asyncio.Queue[Event | Gone] = asyncio.Queue()
        generation = self._generation(wanted, inbox)
        self._submit(generation)
        watch = asyncio.create_task(_watch(receive, inbox))
        reply = wire.Reply(self._model, wanted.logprobs)
        try:
            if wanted.stream:
                await _stream(send, inbox, reply, include_usage=wanted.stream_options.include_usage)
            else:
                await _whole(send, inbox, reply)
        finally:
            watch.cancel()
            self._scheduler.cancel(generation)

    def _generation(self, wanted: ChatRequest, inbox: asyncio.Queue[Event | Gone]) -> Generation:
        prompt = self._prompt(wanted)
        room = self._context - len(prompt)
        return Generation(
            prompt,
            min(wanted.limit or room, room),
            inbox.put_nowait,
            temperature=wanted.temperature,
            top_p=wanted.top_p,
            seed=None if wanted.seed is None else wanted.seed % 2**64,
            stop=wanted.stop,
            top_logprobs=wanted.top_logprobs if wanted.logprobs else 0,
        )

    def _prompt(self, wanted: ChatRequest) -> list[int]:
        try:
            prompt = self._template.tokens(wanted.conversation)
        except PromptError as error:
            raise RequestError(str(error), param="messages") from error
        if len(prompt) >= self._context:
            raise RequestError(
                f"the prompt has {len(prompt)} tokens, the model's context {self._context}",
                code="context_length_exceeded",
                param="messages",
            )
        return prompt

    def _submit(self, generation: Generation) -> None:
        try:
            self._scheduler.submit(generation)
        except QueueFullError:
            raise RequestError(
                "all slots are busy and the queue is full", status=429, code="queue_full"
            ) from None


def deliver_on(loop: asyncio.AbstractEventLoop) -> Callable[[Deliveries], None]:
    """A `deliver` for the scheduler that wakes `loop` once a step."""

    def hand_over(deliveries: Deliveries) -> None:
        for generation, event in deliveries:
            generation.deliver(event)

    def deliver(deliveries: Deliveries) -> None:
        loop.call_soon_threadsafe(hand_over, deliveries)

    return deliver


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise RequestError(f"the body is larger than {MAX_BODY_BYTES} bytes", status=413)
        if not message.get("more_body"):
            return bytes(body)


def _decode(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error}") from error


async def _watch(receive: Receive, inbox: asyncio.Queue[Event | Gone]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    inbox.put_nowait(Gone())


async def _next(inbox: asyncio.Queue[Event | Gone]) -> Piece | Finished:
    event = await inbox.get()
    if isinstance(event, Gone):
        raise event
    if isinstance(event, Failed):
        raise RequestError(event.message, status=500, code="engine_failed")
    return event


async def _whole(send: Send, inbox: asyncio.Queue[Event | Gone], reply: wire.Reply) -> None:
    pieces: list[Piece] = []
    while isinstance(event := await _next(inbox), Piece):
        pieces.append(event)
    await _reply(send, reply.completion(pieces, event))


async def _stream(
    send: Send, inbox: asyncio.Queue[Event | Gone], reply: wire.Reply, *, include_usage: bool
) -> None:
    event = await _next(inbox)
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await _events(send, reply.opening())
    try:
        while isinstance(event, Piece):
            await _events(send, reply.delta(event))
            event = await _next(inbox)
    except RequestError as failed:
        await _events(send, wire.error(failed), more=False)
        return
    await _events(send, *reply.closing(event, include_usage=include_usage), done=True, more=False)


async def _events(send: Send, *chunks: wire.Json, done: bool = False, more: bool = True) -> None:
    body = b"".join(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks)
    body += b"data: [DONE]\n\n" * done
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _reply(
    send: Send, content: Any, *, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = orjson.dumps(content)
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
