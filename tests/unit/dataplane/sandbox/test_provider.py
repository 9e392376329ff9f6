import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest

from dataplane.sandbox.provider import KEY_VARIABLE, MODEL, Behaviour, Provider, main
from dataplane.sandbox.tasks import is_correct

pytestmark = pytest.mark.anyio

STEADY = Behaviour(latency_ms=0.0, failing=0.0, limiting=0.0)
QUESTION = "What is 47 + 85?"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def client(
    behaviour: Behaviour = STEADY, key: str = "secret"
) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx2.ASGITransport(Provider(behaviour, "secret").app())
    async with (
        httpx2.AsyncClient(transport=transport) as http,
        openai.AsyncOpenAI(
            api_key=key, base_url="http://provider/v1", http_client=http, max_retries=0
        ) as asked,
    ):
        yield asked


def chat(text: str = QUESTION, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


async def test_it_solves_a_task_and_counts_its_tokens() -> None:
    async with client() as cloud:
        raw = await cloud.chat.completions.with_raw_response.create(**chat())
    completion = raw.parse()
    assert is_correct(QUESTION, str(completion.choices[0].message.content))
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (11, 1)


async def test_whatever_it_says_is_marked_as_simulated() -> None:
    async with client() as cloud:
        raw = await cloud.chat.completions.with_raw_response.create(**chat())
        models = await cloud.models.list()
    assert "SIMULATED" in raw.parse().model
    assert raw.parse().system_fingerprint == "SIMULATED"
    assert raw.headers["x-provider"] == "SIMULATED"
    assert [model.id for model in models.data] == [MODEL]
    assert "SIMULATED" in MODEL


async def test_a_stream_spells_the_same_answer_and_ends_with_the_usage() -> None:
    asked = chat(stream=True, stream_options={"include_usage": True})
    async with client() as cloud:
        whole = await cloud.chat.completions.create(**chat())
        chunks = [chunk async for chunk in await cloud.chat.completions.create(**asked)]
    spelled = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert spelled == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_a_limit_cuts_the_answer() -> None:
    async with client() as cloud:
        cut = await cloud.chat.completions.create(**chat("Sort: 99 98 97 96", max_tokens=1))
    assert cut.choices[0].finish_reason == "length"
    assert len(str(cut.choices[0].message.content)) == 4


async def test_text_parts_are_read() -> None:
    parts = [{"type": "text", "text": QUESTION}]
    async with client() as cloud:
        said = await cloud.chat.completions.create(
            **{**chat(), "messages": [{"role": "user", "content": parts}]}
        )
    assert is_correct(QUESTION, str(said.choices[0].message.content))


async def test_a_wrong_key_is_refused() -> None:
    async with client(key="guessed") as cloud:
        with pytest.raises(openai.AuthenticationError) as refused:
            await cloud.chat.completions.create(**chat())
    assert refused.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": "hello"},
        {"messages": [{"role": "user", "content": 1}]},
        {"max_tokens": 0},
    ],
)
async def test_a_bad_body_is_refused_in_openais_shape(wrong: dict[str, Any]) -> None:
    async with client() as cloud:
        with pytest.raises(openai.BadRequestError) as refused:
            await cloud.chat.completions.create(**{**chat(), **wrong})
    assert refused.value.param == next(iter(wrong))


async def test_an_unknown_model_and_an_unknown_route() -> None:
    async with client() as cloud:
        with pytest.raises(openai.NotFoundError, match="SIMULATED"):
            await cloud.chat.completions.create(**{**chat(), "model": "gpt-4o"})
        with pytest.raises(openai.NotFoundError, match="no such route"):
            await cloud.embeddings.create(model=MODEL, input="x")


async def test_an_outage_and_a_rate_limit_look_like_openais() -> None:
    async with client(Behaviour(latency_ms=0.0, failing=1.0)) as cloud:
        with pytest.raises(openai.InternalServerError):
            await cloud.chat.completions.create(**chat())
    async with client(Behaviour(latency_ms=0.0, failing=0.0, limiting=1.0)) as cloud:
        with pytest.raises(openai.RateLimitError) as limited:
            await cloud.chat.completions.create(**chat())
    assert limited.value.response.headers["retry-after"] == "1"


def test_fates_follow_from_the_seed_and_come_as_often_as_told() -> None:
    behaviour = Behaviour(seed=5)
    fates = [behaviour.fate(call) for call in range(20_000)]
    assert [fate[0] for fate in fates[:50]] == [behaviour.fate(call)[0] for call in range(50)]
    statuses = [error.status for _, error in fates if error is not None]
    assert 35 < statuses.count(500) < 90
    assert 20 < statuses.count(429) < 65
    middle = sorted(latency_s for latency_s, _ in fates)[10_000]
    assert middle == pytest.approx(0.030, rel=0.05)


async def test_it_takes_its_time() -> None:
    slow = Behaviour(latency_ms=60.0, failing=0.0, limiting=0.0)
    started = time.monotonic()
    async with client(slow) as cloud:
        await cloud.chat.completions.create(**chat())
    assert time.monotonic() - started >= slow.fate(0)[0]


def test_without_a_key_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert main(["--port", "1"]) == 2
    assert KEY_VARIABLE in capsys.readouterr().err
