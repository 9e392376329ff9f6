import asyncio
import time

import pytest

from dataplane.tiers.base import TierError
from dataplane.tiers.fake import FakeTier

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def soon() -> float:
    return time.monotonic() + 5


async def test_the_script_is_played_and_its_last_line_repeats() -> None:
    down = TierError("overloaded", "busy", retry_after_s=1)
    tier = FakeTier("fake", ["one", down, "two"], logprob=-0.5)
    first = await tier.complete({"n": 1}, soon())
    assert (first.text, first.logprobs) == ("one", (-0.5,) * 3)
    with pytest.raises(TierError) as caught:
        await tier.complete({"n": 2}, soon())
    assert caught.value is down
    assert [(await tier.complete({}, soon())).text for _ in range(2)] == ["two", "two"]
    assert tier.requests == [{"n": 1}, {"n": 2}, {}, {}]


async def test_calls_wait_at_the_gate_and_cancellation_is_counted() -> None:
    gate = asyncio.Event()
    tier = FakeTier("fake", gate=gate)
    call = asyncio.create_task(tier.complete({}, soon()))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert tier.cancelled == 1
    with pytest.raises(TierError):
        await tier.complete({}, time.monotonic() + 0.01)
    gate.set()
    assert (await tier.complete({}, soon())).text == "ok"
