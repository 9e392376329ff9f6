"""The SIMULATED cloud: ``python -m dataplane.sandbox.provider --port PORT``.

OpenAI-compatible over HTTP on loopback: it solves the sandbox's tasks, counts tokens, takes its
time and fails now and then. It wants the API key that ``PENSTOCK_PROVIDER_KEY`` holds.
"""

import argparse
import asyncio
import hmac
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dataplane.errors import ApiError, invalid
from dataplane.sandbox import cloud, lifeline

MODEL = "SIMULATED-cloud"
KEY_VARIABLE = "PENSTOCK_PROVIDER_KEY"
HEADERS = {"x-provider": "SIMULATED"}
CHUNK_CHARS = 4


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the provider behaves; `latency_ms` is the median, the shares are of all calls."""

    seed: int = 0
    accuracy: float = cloud.ACCURACY
    latency_ms: float = 30.0
    failing: float = 0.003
    limiting: float = 0.002

    def fate(self, call: int) -> tuple[float, ApiError | None]:
        """What happens to the n-th call: its latency in seconds, and its error if it fails."""
        rng = random.Random(f"{self.seed}:{call}")  # noqa: S311 - reproducible, no secret
        u, latency_s = rng.random(), rng.lognormvariate(0, 0.35) * self.latency_ms / 1e3
        if u < self.failing:
            return latency_s, ApiError(500, "SIMULATED outage", kind="server_error")
        if u < self.failing + self.limiting:
            return latency_s, _limited()
        return latency_s, None


@dataclass(frozen=True, slots=True)
class Said:
    """One answer and what it is charged for."""

    id: str
    created: int
    text: str
    finish: str
    prompt_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        """OpenAI's usage object."""
        spoken = cloud.tokens(self.text)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": spoken,
            "total_tokens": self.prompt_tokens + spoken,
        }

    def frame(self, kind: str) -> dict[str, Any]:
        """What every object of this answer begins with."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": MODEL,
            "system_fingerprint": "SIMULATED",
        }

    def completion(self) -> dict[str, Any]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": self.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return {**self.frame("chat.completion"), "choices": [choice], "usage": self.usage}

    def chunks(self, *, include_usage: bool) -> Iterator[dict[str, Any]]:
        """The answer bit by bit."""
        usage = {"usage": None} if include_usage else {}
        frame = {**self.frame("chat.completion.chunk"), **usage}
        yield {**frame, "choices": [_delta({"role": "assistant", "content": ""})]}
        for start in range(0, len(self.text), CHUNK_CHARS):
            yield {
                **frame,
                "choices": [_delta({"content": self.text[start : start + CHUNK_CHARS]})],
            }
        yield {**frame, "choices": [_delta({}, self.finish)]}
        if include_usage:
            yield {**frame, "choices": [], "usage": self.usage}


class Provider:
    """Answers chats; the n-th call since the start has the n-th fate of its behaviour."""

    def __init__(self, behaviour: Behaviour, key: str) -> None:
        self._behaviour = behaviour
        self._key = key.encode()
        self._calls = 0
        self._created = int(time.time())

    def app(self) -> Starlette:
        """The ASGI app."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/health", self.health),
            ],
            exception_handlers={ApiError: _refused, 404: _unknown},
        )

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - the framework's shape
        """It answers."""
        return _json({"status": "ok", "provider": "SIMULATED"})

    async def models(self, request: Request) -> Response:
        """The one model that there is."""
        self._admit(request)
        model = {"id": MODEL, "object": "model", "created": self._created, "owned_by": "SIMULATED"}
        return _json({"object": "list", "data": [model]})

    async def chat(self, request: Request) -> Response:
        """Answer one chat, in one piece or streamed."""
        self._admit(request)
        body = _parsed(await request.body())
        latency_s, error = self._behaviour.fate(self._calls)
        self._calls += 1
        await asyncio.sleep(latency_s)
        if error is not None:
            raise error
        said = self._say(body)
        if not body.get("stream"):
            return _json(said.completion())
        asked = (body.get("stream_options") or {}).get("include_usage")
        events = _events(said.chunks(include_usage=bool(asked)))
        return StreamingResponse(events, headers=HEADERS, media_type="text/event-stream")

    def _admit(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, self._key):
            message = "SIMULATED: incorrect API key provided"
            raise ApiError(401, message, code="invalid_api_key")

    def _say(self, body: Mapping[str, Any]) -> Said:
        texts = [_text(message) for message in body["messages"]]
        whole = cloud.answer(self._behaviour.seed, texts[-1], self._behaviour.accuracy)
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        text = whole if limit is None else whole[: limit * cloud.CHARS_PER_TOKEN]
        return Said(
            id=f"chatcmpl-SIMULATED-{self._calls}",
            created=int(time.time()),
            text=text,
            finish="stop" if text == whole else "length",
            prompt_tokens=cloud.prompt_tokens(*texts),
        )


def _parsed(data: bytes) -> dict[str, Any]:
    """A chat body whose fields of interest have their types; raises ``ApiError`` 400 or 404."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise invalid("SIMULATED: the body is not JSON") from None
    if not isinstance(body, dict):
        raise invalid("SIMULATED: the body must be a JSON object")
    if body.get("model") != MODEL:
        message = f"SIMULATED: the only model is {MODEL}"
        raise ApiError(404, message, param="model", code="model_not_found")
    messages = body.get("messages")
    if not (isinstance(messages, list) and messages and all(map(_is_message, messages))):
        raise invalid("SIMULATED: messages must be a list of messages", "messages")
    for name in ("max_tokens", "max_completion_tokens"):
        if not (body.get(name) is None or (isinstance(body[name], int) and body[name] > 0)):
            raise invalid(f"SIMULATED: {name} must be a positive integer", name)
    return body


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("content"), str | list | None)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content if isinstance(part, dict))


def _limited() -> ApiError:
    return ApiError(
        429,
        "SIMULATED rate limit",
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"retry-after": "1"},
    )


def _delta(delta: Mapping[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


async def _events(chunks: Iterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield b"data: %b\n\n" % orjson.dumps(chunk)
    yield b"data: [DONE]\n\n"


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    extra = {**HEADERS, **(headers or {})}
    return Response(orjson.dumps(content), status, extra, "application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _json(error.body(), error.status, error.headers)


async def _unknown(request: Request, _: Exception) -> Response:
    unknown = ApiError(404, f"SIMULATED: no such route: {request.url.path}", code="unknown_url")
    return _json(unknown.body(), unknown.status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; returns the exit code."""
    usual = Behaviour()
    parser = argparse.ArgumentParser(
        prog="python -m dataplane.sandbox.provider", description=__doc__
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--accuracy", type=float, default=usual.accuracy)
    parser.add_argument("--latency-ms", type=float, default=usual.latency_ms)
    parser.add_argument("--failing", type=float, default=usual.failing, help="share of 500s")
    parser.add_argument("--limiting", type=float, default=usual.limiting, help="share of 429s")
    lifeline.add_option(parser)
    chosen = vars(parser.parse_args(arguments))
    port, watched, key = chosen.pop("port"), chosen.pop("watch_stdin"), os.environ.get(KEY_VARIABLE)
    if not key:
        sys.stderr.write(f"SIMULATED provider: set {KEY_VARIABLE} to the key that it shall want\n")
        return 2
    if watched:
        lifeline.end_with_stdin()
    sys.stderr.write(f"SIMULATED provider at http://127.0.0.1:{port}/v1, model {MODEL}\n")
    app = Provider(Behaviour(**chosen), key).app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
