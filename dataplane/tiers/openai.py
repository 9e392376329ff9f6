"""A tier that speaks the OpenAI chat API: a cloud provider, or our own engine."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from pydantic import SecretStr

from dataplane.tiers.assembly import Assembly, count, spelled
from dataplane.tiers.base import Answer, Delta, TierError, TierHealth
from dataplane.tiers.sse import EventReader, EventTooLargeError
from dataplane.tiers.upstream import Upstream, error_code

_DONE = b"[DONE]"
_DRAIN_S = 0.25
_MALFORMED = (ValueError, TypeError, KeyError, AttributeError, IndexError)


@dataclass(slots=True)
class _Stopwatch:
    started_s: float = field(default_factory=time.monotonic)
    first_s: float | None = None
    last_s: float = 0.0

    def tick(self, *, spoke: bool) -> None:
        self.last_s = time.monotonic()
        if spoke and self.first_s is None:
            self.first_s = self.last_s

    @property
    def latency_ms(self) -> float:
        return (self.last_s - self.started_s) * 1e3

    @property
    def ttft_ms(self) -> float | None:
        return None if self.first_s is None else (self.first_s - self.started_s) * 1e3

    def tokens_per_s(self, tokens: int) -> float | None:
        if self.first_s is None or tokens < 2 or self.last_s <= self.first_s:
            return None
        return (tokens - 1) / (self.last_s - self.first_s)


class OpenAITier:
    """Calls `/chat/completions` below `base_url`, or below `/v1` on the socket `unix:/path`.

    With `logprobs` it always asks for log-probabilities, whether or not the client did.
    `idle_timeout_s` is the longest silence within a stream.
    """

    def __init__(
        self,
        name: str,
        model: str,
        base_url: str,
        *,
        api_key: SecretStr | None = None,
        logprobs: bool = False,
        connect_timeout_s: float = 5.0,
        idle_timeout_s: float = 30.0,
        keepalive_s: float = 4.0,
    ) -> None:
        self.name = name
        self.model = model
        self._path = f"{'/v1' if base_url.startswith('unix:') else ''}/chat/completions"
        self._logprobs = logprobs
        self._idle_timeout_s = idle_timeout_s
        bearer = [("authorization", f"Bearer {api_key.get_secret_value()}")] if api_key else []
        self._upstream = Upstream(
            name, base_url, bearer, connect_timeout_s=connect_timeout_s, keepalive_s=keepalive_s
        )
        self._unreachable = ""

    async def start(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def close(self) -> None:
        """Close all connections."""
        await self._upstream.close()

    def health(self) -> TierHealth:
        """Up unless the last call could not connect."""
        return TierHealth(up=not self._unreachable, detail=self._unreachable)

    def lacks(self, request: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - the seam's shape
        """Nothing that we would know of: the upstream says what it refuses."""
        return None

    async def complete(self, request: Mapping[str, Any], deadline: float) -> Answer:
        """The whole answer at once. Raises `TierError`."""
        watch = _Stopwatch()
        body = self._body(request, stream=False)
        try:
            async with self._upstream.open(self._path, body, deadline) as response:
                assembly = self._whole(await self._upstream.read(response, deadline))
        except TierError as error:
            self._note(error, request, "")
            raise
        watch.tick(spoke=False)
        return self._answer(request, assembly, watch)

    async def stream(
        self, request: Mapping[str, Any], deadline: float
    ) -> AsyncGenerator[Delta | Answer, None]:
        """Deltas as they come, then the Answer. Close it (`aclosing`) to end the call early."""
        watch = _Stopwatch()
        assembly = Assembly()
        try:
            async with aclosing(self._events(request, deadline)) as events:
                async for event in events:
                    chunk = self._add(assembly, event, watch)
                    if chunk and (shown := _shown(chunk, request)):
                        yield Delta(shown)
            if not assembly.complete:
                raise self._upstream.broken("the stream ended before the answer did")
        except TierError as error:
            self._note(error, request, spelled(assembly.message))
            raise
        yield self._answer(request, assembly, watch)

    def _body(self, request: Mapping[str, Any], *, stream: bool) -> bytes:
        body = {**request, "model": self.model, "stream": stream}
        body.pop("stream_options", None)
        if stream:
            body["stream_options"] = {"include_usage": True}
        if self._logprobs:
            body["logprobs"] = True
        return orjson.dumps(body)

    async def _events(
        self, request: Mapping[str, Any], deadline: float
    ) -> AsyncGenerator[bytes, None]:
        reader = EventReader()
        body = self._body(request, stream=True)
        async with (
            self._upstream.open(self._path, body, deadline) as response,
            aclosing(self._upstream.chunks(response, deadline, self._idle_timeout_s)) as arriving,
        ):
            async for data in arriving:
                for event in self._read(reader, data):
                    yield event
                    if event == _DONE:
                        await self._drain(response)
                        return
            for event in reader.finish():
                yield event

    def _read(self, reader: EventReader, data: bytes) -> list[bytes]:
        try:
            return reader.feed(data)
        except EventTooLargeError as error:
            raise self._upstream.broken("sent an event without end") from error

    async def _drain(self, response: httpx.Response) -> None:
        """Read to the end of the body, or the connection cannot be used again."""
        with suppress(TierError):
            await self._upstream.read(response, time.monotonic() + _DRAIN_S)

    def _add(self, assembly: Assembly, event: bytes, watch: _Stopwatch) -> dict[str, Any] | None:
        if event == _DONE:
            assembly.done = True
            return None
        chunk = self._parsed(event)
        try:
            watch.tick(spoke=assembly.add(chunk))
        except _MALFORMED as error:
            raise self._upstream.broken("sent a chunk that is not OpenAI's") from error
        return chunk

    def _whole(self, body: bytes) -> Assembly:
        completion = self._parsed(body)
        try:
            return Assembly.whole(completion)
        except _MALFORMED as error:
            raise self._upstream.broken("sent an answer that is not OpenAI's") from error

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            parsed = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise self._upstream.broken("sent what is not JSON") from error
        if not isinstance(parsed, dict):
            raise self._upstream.broken("sent what is not an object")
        if parsed.get("error"):
            code = error_code(data)
            raise self._upstream.broken(f"failed while answering{f' ({code})' if code else ''}")
        return parsed

    def _answer(self, request: Mapping[str, Any], assembly: Assembly, watch: _Stopwatch) -> Answer:
        self._unreachable = ""
        text = assembly.message.get("content") or ""
        usage = count(assembly.usage, request, spelled(assembly.message))
        return Answer(
            text=text,
            finish=assembly.finish or "stop",
            usage=usage,
            model=assembly.model or self.model,
            message=assembly.message,
            logprobs=assembly.sampled_logprobs,
            latency_ms=watch.latency_ms,
            ttft_ms=watch.ttft_ms or assembly.timing("ttft_ms"),
            tokens_per_s=assembly.timing("tokens_per_s")
            or watch.tokens_per_s(usage.completion_tokens),
            logprobs_object=None if assembly.logprobs is None else {"content": assembly.logprobs},
        )

    def _note(self, error: TierError, request: Mapping[str, Any], text: str) -> None:
        """Remember what went wrong, and what it had used up: the prompt was sent at least."""
        self._unreachable = str(error) if error.kind == "connect" else ""
        if error.kind in ("timeout", "broken"):
            error.usage = count(None, request, text)


def _shown(chunk: dict[str, Any], request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The chunk without what the client did not ask for; None if nothing is left of it."""
    shown = {key: value for key, value in chunk.items() if key != "timings"}
    if not (request.get("stream_options") or {}).get("include_usage"):
        shown.pop("usage", None)
        if not shown.get("choices"):
            return None
    if not request.get("logprobs"):
        shown["choices"] = [{**choice, "logprobs": None} for choice in shown.get("choices", ())]
    return shown
