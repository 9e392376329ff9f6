"""The HTTP face, called as ASGI, over a decoder that moves only when the test lets it."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataplane.engine.chat import ChatTemplate
from dataplane.engine.memory import gpu, resident_bytes
from dataplane.engine.scheduler import Scheduler
from dataplane.engine.server import MAX_BODY_BYTES, App, deliver_on

pytestmark = pytest.mark.anyio

CONTEXT = 40
CHAT = "POST /v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "a"}], "temperature": 0, "max_tokens": 2}
LONG = {"messages": [{"role": "user", "content": "A" * CONTEXT}]}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Alphabet:
    """Token n spells chr(n); the prompt is the contents; after n comes n + 1."""

    bos = None

    def metadata(self, key: str) -> str | None:
        return "{% for m in messages %}{{ m.content }}{% endfor %}"

    def special_text(self, name: str) -> str:
        return ""

    def tokenise_template(self, text: str) -> list[int]:
        return list(text.encode())

    def tokenise_text(self, text: str) -> list[int]:
        return list(text.encode())

    def ends(self, token: int) -> bool:
        return token == 0

    def piece(self, token: int) -> bytes:
        return bytes([token])


class GatedDecoder:
    """One slot; each step waits until `gate` is set, or until it is aborted."""

    slots = 1
    room = 64

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()
        self.steps = 0
        self._last = 0

    def add(self, slot: int, position: int, tokens: list[int], *, sample: bool) -> int:
        self._last = tokens[-1]
        return 0

    def decode(self) -> None:
        self.steps += 1
        self.started.set()
        self.gate.wait()

    def logits(self, index: int) -> NDArray[np.float32]:
        logits = np.zeros(128, np.float32)
        logits[self._last + 1] = 50
        return logits

    def forget(self, slot: int, position: int = 0) -> None: ...

    def abort(self) -> None:
        self.gate.set()

    def resume(self) -> None: ...


class Caller:
    """One ASGI call: what goes in, what came out."""

    def __init__(self, body: bytes) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self.sent: list[Any] = []
        self.first_body = asyncio.Event()

    def disconnect(self) -> None:
        self.inbox.put_nowait({"type": "http.disconnect"})

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.first_body.set()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Engine:
    def __init__(self, app: App, scheduler: Scheduler, decoder: GatedDecoder) -> None:
        self._app = app
        self.scheduler = scheduler
        self.decoder = decoder

    def begin(self, route: str, body: Any = None) -> tuple[Caller, asyncio.Task[None]]:
        method, path = route.split()
        caller = Caller(body if isinstance(body, bytes) else json.dumps(body).encode())
        scope = {"type": "http", "method": method, "path": path}
        return caller, asyncio.create_task(self._app(scope, caller.inbox.get, caller.send))

    async def call(self, route: str, body: Any = None) -> Caller:
        caller, task = self.begin(route, body)
        await asyncio.wait_for(task, 5)
        return caller


@asynccontextmanager
async def engine(queue: int = 0) -> AsyncIterator[Engine]:
    decoder, alphabet = GatedDecoder(), Alphabet()
    deliver = deliver_on(asyncio.get_running_loop())
    scheduler = Scheduler(decoder, alphabet, queue_limit=queue, deliver=deliver)  # type: ignore[arg-type]  # a decoder's `add` takes any sequence
    app = App(scheduler, ChatTemplate(alphabet), model="alphabet", context=CONTEXT, slots=1)
    worker = threading.Thread(target=scheduler.run)
    worker.start()
    try:
        yield Engine(app, scheduler, decoder)
    finally:
        scheduler.close()
        decoder.gate.set()
        await asyncio.to_thread(worker.join)


async def test_a_completion_is_openais_with_usage_and_timings() -> None:
    async with engine() as local:
        caller = await local.call(CHAT, {**BODY, "logprobs": True, "top_logprobs": 1})
    assert caller.status == 200
    [choice] = caller.json["choices"]
    assert choice["message"] == {"role": "assistant", "content": "bc", "refusal": None}
    assert choice["finish_reason"] == "length"
    assert [token["token"] for token in choice["logprobs"]["content"]] == ["b", "c"]
    assert choice["logprobs"]["content"][0]["top_logprobs"][0]["bytes"] == [ord("b")]
    assert caller.json["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert set(caller.json["timings"]) == {"queue_ms", "prompt_ms", "ttft_ms", "tokens_per_s"}


async def test_a_stream_ends_in_usage_timings_and_done() -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    async with engine() as local:
        caller = await local.call(CHAT, {**BODY, **options})
    *events, done, rest = caller.body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    contents = [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:-1]]
    assert contents == ["", "b", "c", None]
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 2
    assert chunks[-1]["timings"]["ttft_ms"] > 0
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_an_answer_has_what_the_prompt_leaves_of_the_context() -> None:
    async with engine() as local:
        prompt = {"messages": [{"role": "user", "content": "A" * (CONTEXT - 3)}], "temperature": 0}
        caller = await local.call(CHAT, {**prompt, "max_tokens": 99})
    assert caller.json["usage"]["completion_tokens"] == 3
    assert caller.json["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("route", "body", "status", "code"),
    [
        (CHAT, b"{", 400, None),
        (CHAT, {"messages": 3}, 400, None),
        (CHAT, {**BODY, "tools": [{}]}, 400, "unsupported_parameter"),
        (CHAT, LONG, 400, "context_length_exceeded"),
        (CHAT, b" " * (MAX_BODY_BYTES + 1), 413, None),
        ("GET /v1/chat/completions", None, 404, "unknown_url"),
    ],
)  # fmt: skip
async def test_a_refusal_has_openais_shape(
    route: str, body: Any, status: int, code: str | None
) -> None:
    async with engine() as local:
        caller = await local.call(route, body)
    assert caller.status == status
    assert set(caller.json["error"]) == {"message", "type", "param", "code"}
    assert caller.json["error"]["code"] == code


async def test_a_full_queue_is_refused_at_once_and_says_when_to_come_back() -> None:
    async with engine(queue=0) as local:
        local.decoder.gate.clear()
        _, first = local.begin(CHAT, BODY)
        await asyncio.to_thread(local.decoder.started.wait, 5)
        caller = await local.call(CHAT, BODY)
        assert caller.status == 429
        assert caller.headers[b"retry-after"] == b"1"
        assert caller.json["error"]["type"] == "rate_limit_error"
        local.decoder.gate.set()
        await first


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_frees_its_slot(stream: bool) -> None:
    async with engine(queue=1) as local:
        local.decoder.gate.clear()
        caller, task = local.begin(CHAT, {**BODY, "max_tokens": 30, "stream": stream})
        await asyncio.to_thread(local.decoder.started.wait, 5)
        caller.disconnect()
        await asyncio.wait_for(task, 0.5)
        assert (await local.call(CHAT, BODY)).status == 200
        assert caller.sent == []
        assert local.decoder.steps < 30


async def test_an_engine_that_stops_fails_its_callers() -> None:
    async with engine() as local:
        local.decoder.gate.clear()
        caller, task = local.begin(CHAT, BODY)
        await asyncio.to_thread(local.decoder.started.wait, 5)
        local.scheduler.close()
        await asyncio.wait_for(task, 5)
    assert caller.status == 500
    assert caller.json["error"]["code"] == "engine_failed"


async def test_health_tells_load_and_memory() -> None:
    async with engine() as local:
        health = (await local.call("GET /health")).json
        models = (await local.call("GET /v1/models")).json
    assert (health["status"], health["slots"], health["slots_busy"]) == ("ok", 1, 0)
    assert health["queue_depth"] == 0
    assert health["memory_rss_bytes"] == pytest.approx(resident_bytes(), rel=0.5)
    assert health["gpu_memory_bytes"] == (found.whole if (found := gpu()) else None)
    assert [model["id"] for model in models["data"]] == ["alphabet"]
