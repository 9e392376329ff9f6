"""What must not break in the gateway: upstreams that fail, clients that leave, a process killed."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from controlplane.database import Database
from dataplane.contract.records import Attempt, Completion
from dataplane.contract.sections import Limits
from dataplane.guarded_tier import MAX_TRIES, PAUSE_S
from dataplane.tiers.fake import FakeTier
from dataplane.tiers.openai import OpenAITier
from tests.fronts import Front, chat, served
from tests.planes import RealPlane, answer, eventually, issue_key, provider
from tests.policies import policy
from tests.scripted_upstream import Exchange, scripted
from tests.stalls import stalls

CHAT = "/v1/chat/completions"
KEY = {"authorization": "Bearer all"}


@pytest.mark.parametrize("failure", [429, 500, 503])
def test_a_failing_provider_is_called_at_most_a_fifth_more_often_than_asked(failure: int) -> None:
    calls = 0

    def failing(body: Any) -> tuple[int, dict[str, Any]]:
        nonlocal calls
        calls += 1
        return failure, {"error": {"message": "no", "code": "no"}}

    async def storm(upstream: str) -> list[int]:
        cloud = OpenAITier("cloud", "big", upstream)
        front = Front(policy("always_cloud"), cloud=cloud)
        try:
            responses = [await front.request("POST", CHAT, json=chat()) for _ in range(60)]
        finally:
            await cloud.close()
        return [response.status_code for response in responses]

    with provider(failing) as upstream:
        statuses = asyncio.run(storm(upstream))
    assert set(statuses) == {200}  # the other tier answers
    assert calls <= 1.2 * 60 + 3
    assert calls < 30  # the breaker opens


async def never(exchange: Exchange) -> None:
    await exchange.gone()


async def drip(exchange: Exchange) -> None:
    await exchange.open_stream()
    while True:
        chunk = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'
        await exchange.chunk(chunk)
        await asyncio.sleep(0.01)


@contextmanager
def upstream_of(play: Any) -> Iterator[Any]:
    """A scripted upstream on a loop of its own, in a thread."""
    ready, over = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def run() -> None:
        async with scripted(play) as upstream:
            found.extend((upstream, asyncio.get_running_loop()))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(5)
    try:
        yield found[0]
    finally:
        found[1].call_soon_threadsafe(over.set)
        thread.join()


@pytest.mark.parametrize(("stream", "play"), [(False, never), (True, never), (True, drip)])
def test_when_the_client_leaves_the_upstream_is_left_too_and_charged(
    stream: bool, play: Any
) -> None:
    with upstream_of(play) as upstream:
        front = Front(policy("always_cloud"), cloud=OpenAITier("cloud", "big", upstream.base_url))
        with served(front.app) as base:
            with pytest.raises(httpx.ReadTimeout):
                leave_after(base, stream=stream, seconds=0.5)
            with stalls() as lost_s:
                left_s = time.monotonic()
                eventually(lambda: not upstream.connected, 2.0)
                assert time.monotonic() - left_s - lost_s() < 0.5
            (completion,) = eventually(lambda: front.kept.of(Completion), 2.0)
    (attempt,) = front.kept.of(Attempt)
    assert (completion.status, attempt.finish) == ("aborted", "aborted")
    assert completion.cost_usd == attempt.cost_usd > 0


def leave_after(base: str, *, stream: bool, seconds: float) -> None:
    """Ask, listen for a while, and hang up."""
    deadline = time.monotonic() + seconds
    with (
        httpx.Client(base_url=base, headers=KEY, trust_env=False, timeout=seconds) as client,
        client.stream("POST", CHAT, json=chat(stream=stream)) as response,
    ):
        for _ in response.iter_bytes():
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("heard enough")


@contextmanager
def asked(front: Front) -> Iterator[tuple[httpx.Response, float, float]]:
    """One chat, how many seconds it took, and what of them a busy machine took; still served."""
    with (
        served(front.app) as base,
        httpx.Client(base_url=base, headers=KEY, trust_env=False) as client,
    ):
        client.get("/healthz")
        with stalls() as lost_s:
            began_s = time.monotonic()
            response = client.post(CHAT, json=chat())
            took_s = time.monotonic() - began_s
            lost = lost_s()
        yield response, took_s, lost


def test_a_silent_upstream_is_given_up_at_the_deadline() -> None:
    with upstream_of(never) as upstream:
        local, cloud = (OpenAITier(name, "m", upstream.base_url) for name in ("local", "cloud"))
        front = Front(policy("always_cloud"), local=local, cloud=cloud, timeout_s=0.5)
        with asked(front) as (response, took_s, lost_s):
            eventually(lambda: not upstream.connected, 2.0)
    assert response.status_code == 504
    assert took_s >= 0.5
    assert took_s - lost_s < 0.5 + 0.25


@contextmanager
def black_hole() -> Iterator[str]:
    """An upstream to which no connection comes about: its backlog is full, and nobody accepts."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        host, port = listening.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        with pytest.raises(TimeoutError):
            socket.create_connection((host, port), timeout=0.3)
        yield f"http://{host}:{port}/v1"


@pytest.mark.parametrize(
    ("connect_s", "total_s", "tiers", "status"),
    [(0.2, 5.0, ("cloud",), 200), (30.0, 0.5, ("local", "cloud"), 504)],
)
def test_an_upstream_that_takes_no_connection_is_given_up_in_time(
    connect_s: float, total_s: float, tiers: tuple[str, ...], status: int
) -> None:
    with black_hole() as base_url:
        local, cloud = (
            OpenAITier(name, "m", base_url, connect_timeout_s=connect_s) if name in tiers else None
            for name in ("local", "cloud")
        )
        front = Front(policy("always_cloud"), local=local, cloud=cloud, timeout_s=total_s)
        with asked(front) as (response, took_s, lost_s):
            pass
    assert response.status_code == status
    tries = [attempt for attempt in front.kept.of(Attempt) if attempt.error]
    assert {attempt.tier for attempt in tries} <= set(tiers)
    most_s = total_s if status == 504 else len(tries) * connect_s + MAX_TRIES * PAUSE_S
    assert took_s - lost_s < most_s + 0.25


def test_an_endless_body_is_refused_before_it_ends() -> None:
    front = Front(limits=Limits(body_bytes=64 << 10))
    with served(front.app) as base, socket.create_connection(address(base)) as client:
        client.settimeout(5)
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer all\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        sent = 0
        try:
            while sent < 64 << 20:
                client.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
        except ConnectionError:
            pass
    assert sent < 16 << 20
    assert front.kept.frames == []


def address(base: str) -> tuple[str, int]:
    url = httpx.URL(base)
    assert url.port is not None
    return url.host, url.port


def test_a_full_plane_refuses_at_once_and_stays_well() -> None:
    gate = asyncio.Event()
    front = Front(
        policy("always_local"),
        local=FakeTier("local", gate=gate),
        limits=Limits(requests_in_flight=2),
    )

    async def crowd() -> None:
        waiting = [asyncio.create_task(front.request("POST", CHAT, json=chat())) for _ in range(2)]
        async with asyncio.timeout(5):
            while len(front.local.requests) < 2:  # type: ignore[attr-defined]  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0)
        with stalls() as lost_s:
            began_s = time.monotonic()
            refused = await front.request("POST", CHAT, json=chat())
            healthy = await front.request("GET", "/healthz")
            assert time.monotonic() - began_s - lost_s() < 0.1
        assert (refused.status_code, healthy.status_code) == (503, 200)
        assert refused.headers["retry-after"] == "1"
        gate.set()
        assert {response.status_code for response in await asyncio.gather(*waiting)} == {200}

    asyncio.run(crowd())


class Load:
    """Clients in threads that note every decision they were told of."""

    def __init__(self, plane: RealPlane, key: str, clients: int = 4) -> None:
        self.acknowledged: list[str] = []
        self._plane = plane
        self._headers = {"authorization": f"Bearer {key}"}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with httpx.Client(
            base_url=self._plane.url, headers=self._headers, trust_env=False
        ) as client:
            number = 0
            while not self._over.is_set():
                number += 1
                self._ask(client, stream=number % 3 == 0)

    def _ask(self, client: httpx.Client, *, stream: bool) -> None:
        try:
            with client.stream("POST", CHAT, json=chat(stream=stream)) as response:
                id_ = response.headers.get("x-penstock-decision-id")
                if id_:
                    self.acknowledged.append(id_)
                response.read()
        except httpx.TransportError:
            self._over.wait(0.02)


def speak(body: Any) -> tuple[int, dict[str, Any]]:
    return 200, answer(body["model"])


def killed_under_load(directory: Path, database: Database, kills: int) -> tuple[int, float]:
    """Kill a plane again and again; how many decisions were acknowledged, and the slowest start."""
    slowest_s = 0.0
    key = issue_key(database.url, "inference")
    with provider(speak) as upstream:
        plane = RealPlane(directory, database, upstream, policy("cascade"))
        plane.start()
        with Load(plane, key) as load:
            for kill in range(1, kills + 1):
                wanted = len(load.acknowledged) + 20 * kill % 50 + 10
                eventually(lambda wanted=wanted: len(load.acknowledged) >= wanted, 30.0)  # type: ignore[misc]  # the default binds the loop's variable
                plane.kill()
                began_s = time.monotonic()
                plane.start()
                slowest_s = max(slowest_s, time.monotonic() - began_s)
        assert plane.stop() == 0, plane.log
        stored = stored_decisions(database.url)
        missing = set(load.acknowledged) - set(stored)
        assert not missing
        assert len(stored) == len(set(stored))
        assert all_whole(database.url)
    return len(load.acknowledged), slowest_s


def stored_decisions(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT id::text FROM decisions")]


def all_whole(url: str) -> bool:
    """Every decision has its first step, and no row of any kind is there twice."""
    with psycopg.connect(url) as connection:
        halves = connection.execute(
            "SELECT count(*) FROM decisions d WHERE NOT EXISTS"
            " (SELECT FROM steps s WHERE s.at = d.at AND s.decision_id = d.id AND s.index = 0)"
        ).fetchone()
        twice = connection.execute(
            "SELECT count(*) FROM (SELECT decision_id FROM completions"
            " GROUP BY decision_id HAVING count(*) > 1) doubled"
        ).fetchone()
    return halves == (0,) and twice == (0,)


def test_killed_under_load_it_loses_and_doubles_nothing(tmp_path: Path, database: Database) -> None:
    acknowledged, _ = killed_under_load(tmp_path, database, kills=2)
    assert acknowledged > 20


@pytest.mark.slow
def test_killed_twenty_times_under_load_it_loses_and_doubles_nothing(
    tmp_path: Path, database: Database
) -> None:
    acknowledged, _ = killed_under_load(tmp_path, database, kills=20)
    assert acknowledged > 400


def test_started_without_its_database_it_serves_the_keys_it_knows(
    tmp_path: Path, database: Database
) -> None:
    key = issue_key(database.url, "inference")
    with provider(speak) as upstream:
        plane = RealPlane(tmp_path, database, upstream)
        plane.start()
        assert plane.stop() == 0
        away = RealPlane(tmp_path, Away(), upstream, port=plane.port)  # type: ignore[arg-type]
        away.start()
        try:
            statuses = [
                httpx.post(
                    away.url + CHAT,
                    json=chat(),
                    headers={"authorization": f"Bearer {said}"},
                    trust_env=False,
                ).status_code
                for said in (key, "pk_" + "0" * 16 + "_" + "A" * 43)
            ]
        finally:
            away.stop()
    assert statuses == [200, 401]


class Away:
    """A database that nobody can reach."""

    def url_for(self, role: str) -> str:
        """A port of loopback where nothing listens."""
        return f"postgresql://{role}@127.0.0.1:9/nothing"
