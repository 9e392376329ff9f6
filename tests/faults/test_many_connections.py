"""Thousands of connections that never finish a request: others are served as if they were not."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import quantiles

import httpx
import pytest

from controlplane.database import Database
from dataplane.heads import HEAD_S
from tests.faults.test_gateway_faults import CHAT, address, speak
from tests.fronts import chat
from tests.planes import RealPlane, issue_key, provider, real_plane
from tests.policies import policy

MOST = 5_000
BEGUN = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: "


@contextmanager
def room_for(connections: int) -> Iterator[int]:
    """As many of them as this process, and one that it starts, may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(connections + 500, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield min(connections, wanted - 500)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def took_ms(plane: RealPlane, count: int) -> list[float]:
    """Each of so many health checks, over a connection of its own."""
    found = []
    for _ in range(count):
        began_s = time.perf_counter()
        assert httpx.get(f"{plane.url}/healthz", trust_env=False, timeout=5).status_code == 200
        found.append((time.perf_counter() - began_s) * 1e3)
    return found


def over(connection: socket.socket) -> bytes:
    """What is said before the other end closes."""
    said = b""
    try:
        while data := connection.recv(4096):
            said += data
    except ConnectionResetError:
        pass
    return said


@pytest.mark.slow
def test_slow_heads_of_thousands_are_not_felt_and_then_cut_off(
    tmp_path: Path, database: Database
) -> None:
    key = issue_key(database.url, "inference")
    headers = {"authorization": f"Bearer {key}"}
    with (
        room_for(MOST) as count,
        provider(speak) as upstream,
        real_plane(tmp_path, database, upstream, document=policy("cascade")) as plane,
        ExitStack() as held,
    ):
        assert count > 400
        began_s = time.monotonic()
        slow = [
            held.enter_context(socket.create_connection(address(plane.url), timeout=2 * HEAD_S))
            for _ in range(count)
        ]
        for each in slow:
            each.sendall(BEGUN)
        crowded_ms = took_ms(plane, 100)
        asked = [
            httpx.post(plane.url + CHAT, json=chat(), headers=headers, trust_env=False)
            for _ in range(20)
        ]
        assert {over(each) for each in slow} == {b""}
        took_s = time.monotonic() - began_s
        assert plane.stop() == 0, plane.log
    assert {each.status_code for each in asked} == {200}
    assert quantiles(crowded_ms, n=100)[-1] < 200
    assert took_s < HEAD_S + 20
