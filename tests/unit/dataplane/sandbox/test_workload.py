import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from dataplane.sandbox.tasks import Query
from dataplane.sandbox.workload import KEY_VARIABLE, Line, Terms, Workload, main

pytestmark = pytest.mark.anyio

EASY = Query("What is 2 + 2?", "4", "sum", 1)
HARD = Query("What is 47 + 85?", "132", "sum", 2)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class ScriptedGateway:
    """Says 4 to everything; ``most`` is how many it was asked at once."""

    def __init__(self, status: int = 200, hold_s: float = 0.0) -> None:
        self.status = status
        self.hold_s = hold_s
        self.asked = 0
        self.now = 0
        self.most = 0

    async def chat(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.hold_s)
        self.now -= 1
        if self.status != 200:
            return web.json_response({"error": {"message": "busy"}}, status=self.status)
        body = {"choices": [{"message": {"content": " 4\n"}}]}
        headers = {
            "x-penstock-decision-id": f"d{self.asked}",
            "x-penstock-policy": "3",
            "x-penstock-tier": "local",
            "x-penstock-cost-usd": "0.000002",
        }
        return web.json_response(body, headers=headers)

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def sent(gateway: ScriptedGateway, queries: list[Query], terms: Terms) -> list[Line]:
    lines: list[Line] = []
    async with gateway.url() as url, aiohttp.ClientSession(url) as session:
        await Workload(session, terms, lines.append).run(queries)
    return sorted(lines, key=lambda line: line.place)


async def test_every_query_has_a_line_that_knows_the_truth() -> None:
    lines = await sent(ScriptedGateway(), [EASY, HARD, EASY], Terms(concurrency=1))
    assert [line.right for line in lines] == [1, 0, 1]
    assert [line.place for line in lines] == [0, 1, 2]
    first = lines[0]
    assert (first.tier, first.policy_version, first.decision_id) == ("local", 3, "d1")
    assert (first.cost_usd, first.error) == (0.000002, None)


async def test_no_more_are_under_way_than_told() -> None:
    gateway = ScriptedGateway(hold_s=0.01)
    await sent(gateway, [EASY] * 40, Terms(concurrency=5))
    assert (gateway.asked, gateway.most) == (40, 5)


async def test_the_rate_is_kept() -> None:
    started = time.monotonic()
    await sent(ScriptedGateway(), [EASY] * 11, Terms(rate_per_s=100))
    assert time.monotonic() - started >= 0.1


async def test_a_refusal_is_told_and_counts_as_not_right() -> None:
    (line,) = await sent(ScriptedGateway(status=503), [EASY], Terms())
    assert (line.right, line.error, line.tier) == (0, "503 busy", None)


async def test_a_gateway_that_is_away_is_told_too() -> None:
    lines: list[Line] = []
    async with aiohttp.ClientSession("http://127.0.0.1:1") as session:
        await Workload(session, Terms(), lines.append).run([EASY])
    assert [line.error for line in lines] == ["ClientConnectorError"]


def test_without_a_key_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert main(["--gateway", "http://127.0.0.1:1", "--queries", "1"]) == 2
    assert KEY_VARIABLE in capsys.readouterr().err
