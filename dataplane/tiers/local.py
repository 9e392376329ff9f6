"""The local tier: our own engine, started, watched and restarted."""

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from dataplane.engine.request import unsupported
from dataplane.tiers.base import Answer, Delta, TierError, TierHealth, TierUnusableError
from dataplane.tiers.openai import OpenAITier
from dataplane.tiers.process import EngineOptions, EngineProcess
from dataplane.tiers.upstream import Upstream

_POLL_S = 0.02
_CHECKS_MISSED = 3
_STEADY_S = 60.0


@dataclass(frozen=True, slots=True)
class Supervision:
    """When to check the engine, and how long to wait before starting it again.

    `check_every_s` is also how long it may take to answer a check. `backoff_s` doubles with each
    death in a row, up to `max_backoff_s`; a minute of life starts it over.
    """

    start_timeout_s: float = 60.0
    check_every_s: float = 2.0
    backoff_s: float = 0.1
    max_backoff_s: float = 10.0


class LocalTier:
    """Runs one engine and delegates to it, over a Unix socket in a folder of its own.

    An engine that dies, or misses three checks in a row, is started again. Calls it was
    answering fail with `broken`, calls while it is away with `connect`.
    """

    def __init__(
        self,
        name: str,
        model: str,
        options: EngineOptions,
        *,
        log: Path,
        idle_timeout_s: float = 30.0,
        supervision: Supervision | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self._options = options
        self._log = log
        self._supervision = supervision or Supervision()
        folder = f"penstock-{os.getpid()}-{secrets.token_hex(4)}"
        self._folder = Path(tempfile.gettempdir(), folder)
        self._socket = self._folder / "engine.sock"
        self._probe = Upstream(name, f"unix:{self._socket}")
        self._client = OpenAITier(
            name, model, f"unix:{self._socket}", logprobs=True, idle_timeout_s=idle_timeout_s
        )
        self._engine: EngineProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._up = False
        self._detail = "not started"
        self._restarts = 0
        self._account: dict[str, Any] = {}

    async def start(self) -> None:
        """Start the engine and wait until it answers. Raises `TierUnusableError`."""
        self._folder.mkdir(mode=0o700)
        try:
            await self._launch()
        except BaseException:
            await self.close()
            raise
        self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """Stop the engine; calls it was answering fail."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor
        await self._stop("closed")
        await self._client.close()
        await self._probe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def health(self) -> TierHealth:
        """Whether the engine answers, its process, and how often it was started again."""
        pid = None if self._engine is None else self._engine.pid
        account = self._account if self._up else {}
        return TierHealth(self._up, pid, self._restarts, self._detail, account)

    def lacks(self, request: Mapping[str, Any]) -> str | None:
        """What the engine would refuse."""
        missing = unsupported(request)
        return missing and f"no {missing.name}"

    async def statistics(self) -> dict[str, Any]:
        """The engine's own account: slots, queue, memory. Raises `TierError`."""
        deadline = time.monotonic() + self._supervision.check_every_s
        async with self._probe.open("/health", None, deadline) as response:
            account: dict[str, Any] = orjson.loads(await self._probe.read(response, deadline))
        return account

    async def complete(self, request: Mapping[str, Any], deadline: float) -> Answer:
        """The whole answer at once. Raises `TierError`."""
        self._require()
        return await self._client.complete(request, deadline)

    async def stream(
        self, request: Mapping[str, Any], deadline: float
    ) -> AsyncGenerator[Delta | Answer, None]:
        """Deltas as they come, then the Answer. Close it (`aclosing`) to end the call early."""
        self._require()
        async with aclosing(self._client.stream(request, deadline)) as parts:
            async for part in parts:
                yield part

    def _require(self) -> None:
        if not self._up:
            raise TierError("connect", f"{self.name}: the engine is away ({self._detail})")

    async def _launch(self) -> None:
        self._engine = await EngineProcess.launch(
            self._options, self.model, self._socket, self._log
        )
        self._detail = "starting"
        await self._ready(self._engine)
        self._up, self._detail = True, ""

    async def _ready(self, engine: EngineProcess) -> None:
        deadline = time.monotonic() + self._supervision.start_timeout_s
        while engine.exit_code is None and time.monotonic() < deadline:
            if await self._answers():
                return
            await asyncio.sleep(_POLL_S)
        if engine.exit_code is None:
            limit_s = self._supervision.start_timeout_s
            raise TierUnusableError(f"{self.name}: no answer in {limit_s:g} s; see {self._log}")
        raise TierUnusableError(engine.last_words())

    async def _answers(self) -> bool:
        try:
            self._account = await self.statistics()
        except TierError:
            return False
        return True

    async def _supervise(self) -> None:
        first_s, most_s = self._supervision.backoff_s, self._supervision.max_backoff_s
        backoff_s = first_s
        while True:
            born_s = time.monotonic()
            await self._until_lost()
            if time.monotonic() - born_s > _STEADY_S:
                backoff_s = first_s
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, most_s)
            self._restarts += 1
            with suppress(TierUnusableError):
                await self._launch()

    async def _until_lost(self) -> None:
        """Return when the engine has ended, by itself or because it no longer answered."""
        engine = self._engine
        if engine is None:
            return
        missed = 0 if self._up else _CHECKS_MISSED
        while missed < _CHECKS_MISSED and not await engine.ends_within(
            self._supervision.check_every_s
        ):
            missed = 0 if await self._answers() else missed + 1
        if engine.exit_code is None:
            await self._stop("it no longer answered", grace_s=0)
        else:
            await self._stop(engine.last_words())

    async def _stop(self, why: str, grace_s: float = 5.0) -> None:
        self._up, self._detail = False, why
        if self._engine is not None:
            await self._engine.stop(grace_s)
            self._engine = None
