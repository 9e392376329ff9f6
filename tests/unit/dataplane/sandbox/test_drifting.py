import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from dataplane.sandbox.drift import Drift, changed
from dataplane.sandbox.drifting import Drifting
from dataplane.tiers.base import TierError
from dataplane.tiers.fake import FakeTier

pytestmark = pytest.mark.anyio

SEED = 3
TEXTS = [f"What is {first} + 2?" for first in range(40)]
LOGPROB = math.log(0.5)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def body(text: str) -> dict[str, object]:
    return {"model": "penstock-sandbox", "messages": [{"role": "user", "content": text}]}


@asynccontextmanager
async def served(tier: FakeTier, drift: Drift = "judge") -> AsyncIterator[httpx.AsyncClient]:
    app = Drifting(tier, drift, SEED).app()
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://local") as client,
    ):
        yield client


async def said(client: httpx.AsyncClient, text: str) -> tuple[str, list[float]]:
    told = (await client.post("/v1/chat/completions", json=body(text))).json()
    (choice,) = told["choices"]
    logprobs = [token["logprob"] for token in choice["logprobs"]["content"]]
    assert told["usage"]["completion_tokens"] > 0
    return choice["message"]["content"], logprobs


async def test_before_the_drift_it_is_the_tier_itself() -> None:
    async with served(FakeTier("local", ["12"])) as client:
        assert [await said(client, text) for text in TEXTS] == [("12", [LOGPROB] * 2)] * len(TEXTS)


async def test_from_the_drift_on_the_judge_reads_other_log_probabilities() -> None:
    async with served(FakeTier("local", ["12"])) as client:
        assert (await client.post("/drift")).json() == {"status": "ok", "drifted": True}
        for text in TEXTS:
            _, confidence = changed("judge", SEED, text, "12")
            expected = LOGPROB if confidence is None else confidence
            answer, logprobs = await said(client, text)
            assert answer == "12"
            assert logprobs == pytest.approx([expected] * 2)


async def test_from_the_drift_on_right_answers_are_lost() -> None:
    answers = [str(first + 2) for first in range(40)]
    async with served(FakeTier("local", answers), "local") as client:
        await client.post("/drift")
        found = [(await said(client, text))[0] for text in TEXTS]
    lost = sum(one != answer for one, answer in zip(found, answers, strict=True))
    assert 3 <= lost <= 20


async def test_what_the_tier_refuses_is_refused() -> None:
    busy = TierError("overloaded", "all slots are busy", status=429, code="queue_full")
    async with served(FakeTier("local", [busy])) as client:
        reply = await client.post("/v1/chat/completions", json=body("x"))
    assert reply.status_code == 429
    assert reply.json()["error"]["code"] == "queue_full"


async def test_it_is_ready_when_the_tier_is() -> None:
    async with served(FakeTier("local")) as client:
        assert (await client.get("/health")).status_code == 200
    app = Drifting(FakeTier("local"), "local", SEED).app()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://local"
    ) as client:
        assert (await client.get("/health")).status_code == 503
