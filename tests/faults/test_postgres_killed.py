"""Postgres is stopped at once under load, is away for a minute, and comes back: nobody notices."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx
import psycopg
import pytest

from controlplane.cluster import Cluster
from controlplane.database import Database, embedded, upgrade
from tests.faults.test_gateway_faults import CHAT, all_whole, speak, stored_decisions
from tests.fronts import chat
from tests.planes import RealPlane, eventually, issue_key, provider, real_plane
from tests.policies import policy

AWAY_S = 60.0
DRAINED_S = 30.0
PACE_S = 0.02
UNFIT = {"fsync": "off", "full_page_writes": "off"}  # what dies is the server, not the machine


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Path]]:
    directory = tmp_path_factory.mktemp("own")
    with embedded(directory, UNFIT) as server:
        upgrade(server.url)
        yield server, directory / "postgres"


class Client(threading.Thread):
    """Asks at a steady pace; notes the decisions that it was told of, and how long each took."""

    def __init__(self, plane: RealPlane, key: str) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()
        self.took_s: list[float] = []
        self.over = threading.Event()
        self._plane, self._headers = plane, {"authorization": f"Bearer {key}"}

    def run(self) -> None:
        with httpx.Client(
            base_url=self._plane.url, headers=self._headers, trust_env=False
        ) as client:
            while not self.over.wait(PACE_S):
                began_s = time.monotonic()
                response = client.post(CHAT, json=chat())
                self.took_s.append(time.monotonic() - began_s)
                self.statuses.add(response.status_code)
                self.acknowledged.append(response.headers["x-penstock-decision-id"])


def stop_at_once(directory: Path) -> None:
    """As ``pg_ctl stop -m immediate``: no checkpoint, every session cut."""
    postmaster = int((directory / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGQUIT)
    eventually(lambda: not (directory / "postmaster.pid").exists(), 20.0)


def drained(url: str, acknowledged: int) -> bool:
    with psycopg.connect(url) as owner:
        (stored,) = owner.execute("SELECT count(*) FROM completions").fetchone() or (0,)
    return int(stored) >= acknowledged


@pytest.mark.slow
def test_postgres_away_for_a_minute_is_not_felt_and_then_made_up_for(
    own: tuple[Database, Path], tmp_path: Path
) -> None:
    database, directory = own
    key = issue_key(database.url, "inference")
    with (
        provider(speak) as upstream,
        real_plane(tmp_path, database, upstream, document=policy("cascade")) as plane,
    ):
        client = Client(plane, key)
        client.start()
        try:
            time.sleep(5)
            normal = len(client.took_s)
            stop_at_once(directory)
            time.sleep(AWAY_S)
            without = client.took_s[normal:]
            back = Cluster(directory, UNFIT)
            back.start()
            began_s = time.monotonic()
            eventually(lambda: drained(database.url, len(client.acknowledged) - 50), DRAINED_S)
            assert time.monotonic() - began_s < DRAINED_S
        finally:
            client.over.set()
            client.join()
        assert plane.stop() == 0, plane.log
        back.stop()
    assert client.statuses == {200}
    assert len(without) > 0.5 * AWAY_S / (PACE_S + median(client.took_s[:normal]))
    assert median(without) < 1.5 * median(client.took_s[:normal])
    stored = stored_decisions(database.url)
    assert set(client.acknowledged) == set(stored)
    assert len(stored) == len(set(stored))
    assert all_whole(database.url)
