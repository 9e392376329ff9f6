"""What every tier promises, whatever is behind it."""

import asyncio
import copy
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dataplane.tiers.base import Answer, Delta, Tier, TierError
from dataplane.tiers.fake import FakeTier
from dataplane.tiers.local import LocalTier
from dataplane.tiers.openai import OpenAITier
from dataplane.tiers.process import EngineOptions
from tests.scripted_upstream import Exchange, scripted
from tests.tiny_model import GPU_LAYERS, tiny_model

pytestmark = pytest.mark.anyio

__all__ = ["tiny_model"]

REQUEST: dict[str, Any] = {
    "model": "auto",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 8,
    "temperature": 0,
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


async def provider(exchange: Exchange) -> None:
    """Answers "ok" in either form."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    message = {"role": "assistant", "content": "ok"}
    if not exchange.body["stream"]:
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await exchange.reply({"model": "big", "choices": [choice], "usage": usage})
        return
    deltas = [{"content": character} for character in "ok"]
    chunks = [{"index": 0, "delta": d, "finish_reason": None} for d in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    said = [{"model": "big", "choices": [choice]} for choice in [*chunks, end]]
    await exchange.events([*said, {"choices": [], "usage": usage}])


@asynccontextmanager
async def fake(_: Path, __: Path) -> AsyncIterator[Tier]:
    yield FakeTier("fake", ["ok"])


@asynccontextmanager
async def cloud(_: Path, __: Path) -> AsyncIterator[Tier]:
    async with scripted(provider) as upstream:
        yield OpenAITier("cloud", "big", upstream.base_url)


@asynccontextmanager
async def local(model: Path, folder: Path) -> AsyncIterator[Tier]:
    options = EngineOptions(model, None, context=128, slots=2, gpu_layers=GPU_LAYERS)
    yield LocalTier("local", "tiny", options, log=folder / "engine.log")


@pytest.fixture(scope="module", params=[fake, cloud, local])
async def tier(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Tier]:
    async with request.param(tiny_model, tmp_path_factory.mktemp("tier")) as tier:
        await tier.start()
        yield tier
        await tier.close()


def soon() -> float:
    return time.monotonic() + 10


async def parts_of(tier: Tier, request: dict[str, Any]) -> list[Delta | Answer]:
    async with aclosing(tier.stream(request, soon())) as parts:
        return [part async for part in parts]


async def test_it_is_a_tier_and_up(tier: Tier) -> None:
    assert isinstance(tier, Tier)
    assert tier.health().up


async def test_it_lacks_nothing_for_a_plain_chat(tier: Tier) -> None:
    assert tier.lacks(REQUEST) is None
    assert tier.lacks({}) is None


async def test_an_answer_is_whole(tier: Tier) -> None:
    answer = await tier.complete(REQUEST, soon())
    assert answer.message["role"] == "assistant"
    assert answer.message["content"] == answer.text
    assert answer.finish in ("stop", "length")
    assert answer.usage.exact
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0
    assert answer.latency_ms > 0


async def test_logprobs_are_one_for_each_token_and_never_positive(tier: Tier) -> None:
    answer = await tier.complete(REQUEST, soon())
    if answer.logprobs is not None:
        assert len(answer.logprobs) == answer.usage.completion_tokens
        assert max(answer.logprobs) <= 0


async def test_a_stream_is_deltas_and_then_one_answer_that_they_spell(tier: Tier) -> None:
    *deltas, answer = await parts_of(tier, REQUEST)
    assert isinstance(answer, Answer)
    assert all(isinstance(part, Delta) for part in deltas)
    choices = [part.chunk["choices"][0] for part in deltas if isinstance(part, Delta)]
    assert "".join(c["delta"].get("content") or "" for c in choices) == answer.text
    assert choices[-1]["finish_reason"] == answer.finish


async def test_both_forms_agree(tier: Tier) -> None:
    whole = await tier.complete(REQUEST, soon())
    streamed = (await parts_of(tier, REQUEST))[-1]
    assert isinstance(streamed, Answer)
    assert (streamed.text, streamed.finish) == (whole.text, whole.finish)
    assert streamed.usage == whole.usage
    assert streamed.logprobs == pytest.approx(whole.logprobs, abs=1e-3)


async def test_a_client_sees_only_what_it_asked_for(tier: Tier) -> None:
    for part in (await parts_of(tier, REQUEST))[:-1]:
        assert isinstance(part, Delta)
        assert "usage" not in part.chunk
        assert "timings" not in part.chunk
        assert not part.chunk["choices"][0].get("logprobs")


async def test_the_request_is_left_as_it_was(tier: Tier) -> None:
    before = copy.deepcopy(REQUEST)
    await tier.complete(REQUEST, soon())
    await parts_of(tier, REQUEST)
    assert before == REQUEST


async def test_a_deadline_that_has_passed_is_a_timeout(tier: Tier) -> None:
    with pytest.raises(TierError) as caught:
        await tier.complete(REQUEST, time.monotonic() - 1)
    assert caught.value.kind == "timeout"


async def test_a_stream_closed_early_leaves_the_tier_well(tier: Tier) -> None:
    async with aclosing(tier.stream(REQUEST, soon())) as parts:
        assert isinstance(await anext(parts), Delta)
    assert (await tier.complete(REQUEST, soon())).text


async def test_calls_run_side_by_side(tier: Tier) -> None:
    calls = [tier.complete(REQUEST, soon()) for _ in range(8)]
    texts = {answer.text for answer in await asyncio.gather(*calls)}
    assert len(texts) == 1
