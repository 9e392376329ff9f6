"""More queries than the local engine holds, and an engine that is killed: the gateway serves on."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from dataplane.contract.records import Attempt
from dataplane.tiers.local import LocalTier
from dataplane.tiers.process import EngineOptions
from tests.fronts import Front, chat
from tests.policies import policy
from tests.tiny_model import GPU_LAYERS, slow_model

pytestmark = pytest.mark.anyio
__all__ = ["slow_model"]

CHAT = "/v1/chat/completions"
SLOTS, QUEUE = 2, 2


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def serving(model: Path, folder: Path) -> AsyncIterator[tuple[Front, LocalTier]]:
    """A gateway that asks the local tier where it can, and a cloud that always answers."""
    options = EngineOptions(
        model, None, context=512, slots=SLOTS, queue=QUEUE, gpu_layers=GPU_LAYERS
    )
    local = LocalTier("local", "slow", options, log=folder / "engine.log")
    await local.start()
    try:
        yield Front(policy("always_local"), local=local, timeout_s=30.0), local
    finally:
        await local.close()


async def ask(front: Front, number: int, tokens: int = 60) -> httpx.Response:
    body = chat(f"{number} + 1 =", max_tokens=tokens, temperature=0)
    return await front.request("POST", CHAT, json=body)


def served_by(answers: list[httpx.Response]) -> Counter[str]:
    assert {answer.status_code for answer in answers} == {200}
    return Counter(answer.headers["x-penstock-tier"] for answer in answers)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    deadline_s = time.monotonic() + 30
    while not await true():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)


async def test_what_the_engine_has_no_room_for_is_answered_elsewhere(
    slow_model: Path, tmp_path: Path
) -> None:
    async with serving(slow_model, tmp_path) as (front, _):
        crowd = await asyncio.gather(*(ask(front, number) for number in range(16)))
        tiers = served_by(list(crowd))
        assert tiers["local"] >= SLOTS
        assert tiers["cloud"] >= 16 - 2 * (SLOTS + QUEUE)
        spilled = [each for each in front.kept.of(Attempt) if each.error and each.tier == "local"]
        assert spilled  # the overrun is on record, and what was refused costs nothing
        assert sum(each.cost_usd for each in spilled) == 0
        assert served_by([await ask(front, 99)])


async def test_a_killed_engine_fails_no_query_and_serves_again(
    slow_model: Path, tmp_path: Path
) -> None:
    async with serving(slow_model, tmp_path) as (front, local):
        asked = [asyncio.create_task(ask(front, number, 200)) for number in range(SLOTS)]

        async def busy() -> bool:
            return bool((await local.statistics())["slots_busy"] == SLOTS)

        async def back() -> bool:
            return served_by([await ask(front, 8)]) == Counter(local=1)

        await until(busy)
        pid = local.health().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert served_by([await each for each in asked])["cloud"] >= 1
        assert served_by([await ask(front, 7)])
        await until(back)
        assert local.health().restarts == 1
