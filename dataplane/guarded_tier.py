"""Asking a tier: within its breaker and retry budget, every try written on the query's trail."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

from dataplane.breaker import Breaker, RetryBudget
from dataplane.rows import Call
from dataplane.tiers.assembly import count
from dataplane.tiers.base import Answer, Delta, Tier, TierError, Usage
from dataplane.trail import Trail

MAX_TRIES = 2
PAUSE_S = 0.05  # before a second try, where the tier names no other
MAX_PAUSE_S = 2.0  # a tier that asks for longer is not waited for
ENGINE = (  # of an engine's account
    "slots", "slots_busy", "queue_depth", "memory_rss_bytes",
    "gpu_memory_used_bytes", "gpu_memory_bytes",
)  # fmt: skip
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504}


class GuardedTier:
    """A tier and what is known of its failures; shared by all queries."""

    def __init__(self, tier: Tier, timeout_s: float, *, breaker: Breaker | None = None) -> None:
        self.tier = tier
        self.gives_logprobs = True  # until an answer comes without
        self._timeout_s = timeout_s
        self._breaker = breaker or Breaker()
        self._retries = RetryBudget()

    @property
    def unavailable(self) -> str | None:
        """Why the tier should not be asked now; None if it may be."""
        health = self.tier.health()
        if self._breaker.allows(up=health.up):
            return None
        if health.up:
            return f"breaker open after {self._breaker.failures} failures"
        return f"down: {health.detail}" if health.detail else "down"

    def report(self) -> dict[str, Any]:
        """How the tier is, for those who watch; never waits."""
        health = self.tier.health()
        return {
            "unavailable": self.unavailable,
            "failures_in_a_row": self._breaker.failures,
            "restarts": health.restarts,
            **{name: health.account.get(name) for name in ENGINE},
        }

    async def ask(self, trail: Trail, *, streamed: bool) -> AsyncGenerator[Delta, None]:
        """Put the query; the answer lands on the trail. Streamed, its deltas come as they arrive.

        Raises ``TierError`` when no more tries are left, or once a delta was passed on.
        """
        self._retries.earn()
        for tried in range(1, MAX_TRIES + 1):
            try:
                async with aclosing(self._try(trail, streamed=streamed)) as deltas:
                    async for delta in deltas:
                        yield delta
                return
            except TierError as error:
                if tried == MAX_TRIES or not self._try_again(error, trail):
                    raise
                pause_s = PAUSE_S if error.retry_after_s is None else error.retry_after_s
            with trail.waiting():
                await asyncio.sleep(pause_s)

    async def ask_unseen(self, body: Mapping[str, Any], deadline: float) -> Answer:
        """One call for no client, off any trail. Raises ``TierError``."""
        self._breaker.start()
        try:
            answer = await self.tier.complete(body, deadline)
        except TierError as error:
            self._blame(error)
            raise
        except asyncio.CancelledError:
            self._breaker.abandon()
            raise
        self._breaker.succeed()
        return answer

    def _try_again(self, error: TierError, trail: Trail) -> bool:
        pause_s = error.retry_after_s or PAUSE_S
        return (
            not trail.sent
            and passing(error)
            and pause_s <= MAX_PAUSE_S
            and time.monotonic() + pause_s < trail.deadline
            and self.unavailable is None
            and self._retries.spend()
        )

    async def _try(self, trail: Trail, *, streamed: bool) -> AsyncGenerator[Delta, None]:
        body = trail.query.body
        deadline = min(trail.deadline, time.monotonic() + self._timeout_s)
        with self._written_down(trail) as heard:
            if not streamed:
                with trail.waiting():
                    answer = await self.tier.complete(body, deadline)
                self._answered(trail, answer)
                return
            async with aclosing(self.tier.stream(body, deadline)) as parts:
                while True:
                    with trail.waiting():
                        part = await anext(parts)
                    if isinstance(part, Answer):
                        self._answered(trail, part)
                        return
                    heard.append(part)
                    yield part

    def _answered(self, trail: Trail, answer: Answer) -> None:
        self._breaker.succeed()
        self.gives_logprobs = answer.logprobs is not None
        trail.answered(self.tier.name, answer)

    @contextmanager
    def _written_down(self, trail: Trail) -> Iterator[list[Delta]]:
        """A try that ends without an answer is an attempt, too, and its tokens cost."""
        heard: list[Delta] = []
        began_s = time.monotonic()
        self._breaker.start()
        try:
            yield heard
        except TierError as error:
            self._blame(error)
            trail.errors.append(error)
            trail.called(Call.failed(self.tier.name, self.tier.model, error, _since_ms(began_s)))
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self._breaker.abandon()
            usage = self._consumed(trail, heard)
            trail.called(Call.given_up(self.tier.name, self.tier.model, usage, _since_ms(began_s)))
            raise

    def _blame(self, error: TierError) -> None:
        if passing(error) or error.kind == "timeout":
            self._breaker.fail(error.retry_after_s)
        else:
            self._breaker.abandon()

    def _consumed(self, trail: Trail, heard: list[Delta]) -> Usage:
        """What an abandoned call is taken to have used: what was heard of it, or what is usual."""
        if trail.sent:
            return count(None, trail.query.body, "".join(_said(delta) for delta in heard))
        prompt = count(None, trail.query.body, "").prompt_tokens
        return Usage(prompt, trail.usual_tokens(self.tier.name), exact=False)


def passing(error: TierError) -> bool:
    """Whether the same call may succeed a little later, on this tier."""
    if error.kind in ("connect", "broken", "overloaded"):
        return True
    return error.kind == "status" and error.status in _PASSING


def _said(delta: Delta) -> str:
    choices: list[dict[str, Any]] = delta.chunk.get("choices") or [{}]
    said = choices[0].get("delta") or {}
    return said.get("content") or ""


def _since_ms(began_s: float) -> float:
    return (time.monotonic() - began_s) * 1e3
