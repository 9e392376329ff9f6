"""A tier that says what it is told to: for tests of whatever stands before the seam."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

from dataplane.tiers.assembly import count
from dataplane.tiers.base import Answer, Delta, TierError, TierHealth


class FakeTier:
    """Plays `script` call by call: an answer's text, or the error to raise. The last one repeats.

    Each character is a token of log-probability `logprob`. `requests` are the calls so far. With
    a `gate`, every call waits until it is set.
    """

    def __init__(
        self,
        name: str,
        script: Iterable[str | TierError] = ("ok",),
        *,
        model: str = "fake",
        logprob: float | None = math.log(0.5),
        gate: asyncio.Event | None = None,
        lacks: str | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.requests: list[dict[str, Any]] = []
        self.cancelled = 0
        self._script = list(script)
        self._logprob = logprob
        self._gate = gate
        self._lacks = lacks
        self._up = False

    async def start(self) -> None:
        """Be up."""
        self._up = True

    async def close(self) -> None:
        """Be down."""
        self._up = False

    def health(self) -> TierHealth:
        """Up between `start` and `close`."""
        return TierHealth(up=self._up)

    def lacks(self, request: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - the seam's shape
        """What it was told to lack."""
        return self._lacks

    async def complete(self, request: Mapping[str, Any], deadline: float) -> Answer:
        """The next line of the script."""
        return self._answer(request, await self._next(request, deadline))

    async def stream(
        self, request: Mapping[str, Any], deadline: float
    ) -> AsyncGenerator[Delta | Answer, None]:
        """The next line of the script, a chunk for each character."""
        text = await self._next(request, deadline)
        for character in text:
            yield self._delta({"content": character})
        yield self._delta({}, finish="stop")
        yield self._answer(request, text)

    async def _next(self, request: Mapping[str, Any], deadline: float) -> str:
        self.requests.append(dict(request))
        await self._wait(deadline - time.monotonic())
        line = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(line, TierError):
            raise line
        return line

    async def _wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await (self._gate.wait() if self._gate else asyncio.sleep(0))
        except TimeoutError as error:
            raise TierError("timeout", f"{self.name}: no answer within the deadline") from error
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def _delta(self, delta: dict[str, Any], finish: str | None = None) -> Delta:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return Delta(
            {
                "id": "chatcmpl-fake",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": self.model,
                "choices": [choice],
            }
        )

    def _answer(self, request: Mapping[str, Any], text: str) -> Answer:
        usage = {"prompt_tokens": 1, "completion_tokens": len(text)}
        return Answer(
            text=text,
            finish="stop",
            usage=count(usage, request, text),
            model=self.model,
            message={"role": "assistant", "content": text},
            logprobs=None if self._logprob is None else (self._logprob,) * len(text),
            latency_ms=1.0,
            ttft_ms=1.0,
            tokens_per_s=None,
        )
