"""The local tier with its real engine: crashes, hangs, and orderly ends."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dataplane.tiers.base import Delta, TierError, TierHealth, TierUnusableError
from dataplane.tiers.local import LocalTier, Supervision
from dataplane.tiers.process import EngineOptions
from tests.tiny_model import GPU_LAYERS, slow_model, tiny_model

pytestmark = pytest.mark.anyio

__all__ = ["slow_model", "tiny_model"]

REQUEST: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 8,
    "temperature": 0,
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def soon() -> float:
    return time.monotonic() + 10


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def environment_of(pid: int | None) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def until(tier: LocalTier, state: Any, timeout_s: float = 20) -> TierHealth:
    deadline = time.monotonic() + timeout_s
    while not state(tier.health()):
        assert time.monotonic() < deadline, tier.health()
        await asyncio.sleep(0.01)
    return tier.health()


async def busy(tier: LocalTier, slots: int) -> None:
    deadline = time.monotonic() + 5
    while (await tier.statistics())["slots_busy"] != slots:
        assert time.monotonic() < deadline


@asynccontextmanager
async def running(model: Path, folder: Path, **options: Any) -> AsyncIterator[LocalTier]:
    engine = EngineOptions(model, None, context=256, slots=4, gpu_layers=GPU_LAYERS)
    tier = LocalTier("local", "tiny", engine, log=folder / "engine.log", **options)
    await tier.start()
    try:
        yield tier
    finally:
        await tier.close()


async def test_a_killed_engine_fails_what_it_was_answering_and_comes_back(
    slow_model: Path, tmp_path: Path
) -> None:
    async with running(slow_model, tmp_path) as tier:
        before = tier.health()
        assert before.pid is not None
        async with aclosing(tier.stream({**REQUEST, "max_tokens": 250}, soon())) as parts:
            assert isinstance(await anext(parts), Delta)
            whole = asyncio.create_task(tier.complete({**REQUEST, "max_tokens": 240}, soon()))
            await busy(tier, 2)
            os.kill(before.pid, signal.SIGKILL)
            with pytest.raises(TierError) as streamed:
                [part async for part in parts]
        with pytest.raises(TierError) as waited:
            await whole
        assert (streamed.value.kind, waited.value.kind) == ("broken", "broken")
        assert streamed.value.usage is not None
        assert streamed.value.usage.completion_tokens > 0
        after = await until(tier, lambda health: health.up and health.restarts == 1)
        assert after.pid != before.pid
        assert (await tier.complete(REQUEST, soon())).usage.completion_tokens > 0


async def test_while_the_engine_is_away_calls_are_refused_at_once(
    tiny_model: Path, tmp_path: Path
) -> None:
    async with running(tiny_model, tmp_path, supervision=Supervision(backoff_s=30)) as tier:
        pid = tier.health().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        health = await until(tier, lambda health: not health.up)
        assert "code -9" in health.detail
        with pytest.raises(TierError, match="engine is away") as caught:
            await tier.complete(REQUEST, soon())
        assert caught.value.kind == "connect"


async def test_an_engine_that_hangs_is_replaced(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path, supervision=Supervision(check_every_s=0.3)) as tier:
        pid = tier.health().pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        health = await until(tier, lambda health: health.up and health.pid != pid)
        assert health.restarts >= 1
        assert not alive(pid)


async def test_statistics_are_the_engines_own(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path) as tier:
        account = await tier.statistics()
        assert tier.health().account["slots"] == 4
    assert tier.health().account == {}
    assert (account["model"], account["slots"], account["queue_depth"]) == ("tiny", 4, 0)


async def test_closing_leaves_no_process_and_no_socket(tiny_model: Path, tmp_path: Path) -> None:
    async with running(tiny_model, tmp_path) as tier:
        pid = tier.health().pid
        assert pid is not None
        folder = tier._folder
        assert folder.exists()
    assert not alive(pid)
    assert not folder.exists()
    assert tier.health() == TierHealth(up=False, detail="closed")


async def test_a_model_that_is_missing_or_another_is_one_line(
    tiny_model: Path, tmp_path: Path
) -> None:
    wrong = {tmp_path / "none.gguf": None, tiny_model: "0" * 64}
    for model, sha256 in wrong.items():
        options = EngineOptions(model, sha256)
        tier = LocalTier("local", "tiny", options, log=tmp_path / "engine.log")
        with pytest.raises(TierUnusableError, match=re.escape(str(model))) as caught:
            await tier.start()
        assert len(str(caught.value).splitlines()) == 1
        assert not tier.health().up


async def test_the_engine_sees_no_secret(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("DATABASE_URL", "postgresql://canary")
    async with running(tiny_model, tmp_path) as tier:
        environment = environment_of(tier.health().pid)
    assert b"PATH=" in environment
    assert b"canary" not in environment


PARENT = """
import asyncio, sys
from pathlib import Path
from dataplane.tiers.local import LocalTier
from dataplane.tiers.process import EngineOptions

async def main(model, log):
    tier = LocalTier("local", "tiny", EngineOptions(Path(model), None, slots=1), log=Path(log))
    await tier.start()
    print(tier.health().pid, tier._folder, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_killed_parent_leaves_no_engine_behind(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tiny_model), str(tmp_path / "engine.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        parent.kill()
    deadline = time.monotonic() + 5
    while alive(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    Path(folder).rmdir()
