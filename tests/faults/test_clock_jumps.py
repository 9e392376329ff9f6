"""The system's clock jumps by two days under a data plane that serves: nothing notices.

The plane is a real process whose every reading of the wall clock, Python's, Rust's and libpq's
alike, is shifted by a library that is loaded before the others. The monotonic clock stays.
"""

import shutil
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
import pytest

from controlplane.database import Database
from tests.fronts import chat
from tests.planes import RealPlane, eventually, issue_key, provider
from tests.policies import policy

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler, cc")

DAY_S = 86_400.0
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile double *ahead;

static double ahead_s(void) {
    if (!ahead) {
        int file = open(getenv("CLOCK_AHEAD"), O_RDONLY);
        ahead = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    }
    return *ahead;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int said = real(id, at);
    if (!said && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += ahead_s();
    return said;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    int said = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return said;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@dataclass
class Clock:
    """The wall clock of the processes with this environment."""

    environment: dict[str, str]
    ahead: Path

    def jump_to(self, days: float) -> None:
        """So far from the true time."""
        with self.ahead.open("r+b") as file:
            file.write(struct.pack("d", days * DAY_S))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    source, library, ahead = (tmp_path / name for name in ("clock.c", "clock.so", "ahead"))
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    ahead.write_bytes(struct.pack("d", 0.0))
    return Clock({"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(ahead)}, ahead)


@dataclass
class ShiftedPlane(RealPlane):
    """A data plane by that clock."""

    shifted: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.shifted


@contextmanager
def load(plane: RealPlane, key: str) -> Iterator[Counter[int]]:
    """Chats, four at a time, until the end: how many were answered how."""
    answered, over = Counter[int](), threading.Event()
    headers = {"authorization": f"Bearer {key}"}

    def ask(number: int) -> None:
        with httpx.Client(base_url=plane.url, headers=headers, trust_env=False) as client:
            while not over.wait(0.01):
                body = chat(f"{number} and {sum(answered.values())}")
                status = client.post("/v1/chat/completions", json=body, timeout=30).status_code
                answered[status] += 1

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, number) for number in range(4)]
        try:
            yield answered
        finally:
            over.set()
        for each in asked:
            each.result()


def told(plane: RealPlane, key: str, name: str) -> float:
    """A sample of its ``/metrics``."""
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.get(f"{plane.url}/metrics", headers=headers, trust_env=False)
    text = answer.raise_for_status().text
    (line,) = [each for each in text.splitlines() if each.startswith(f"{name} ")]
    return float(line.split()[1])


def test_days_back_and_forth_fail_no_query_and_lose_no_record(
    tmp_path: Path, database: Database, clock: Clock
) -> None:
    asking, reading = issue_key(database.url, "inference"), issue_key(database.url, "read")
    (tmp_path / "plane").mkdir()
    with provider() as upstream:
        plane = ShiftedPlane(
            tmp_path / "plane", database, upstream, policy("cascade"), shifted=clock.environment
        )
        try:
            plane.start()
            with load(plane, asking) as answered:
                for days in (0, 2, -2, 0):
                    clock.jump_to(days)
                    seen = answered.total()
                    eventually(lambda seen=seen: answered.total() > seen + 100, 30.0)  # type: ignore[misc]  # the default binds the loop's variable
                    assert 0 <= told(plane, reading, "penstock_policy_unconfirmed_seconds") < 60
                    assert 0 <= told(plane, reading, "penstock_spool_age_seconds") < 60
            assert plane.stop() == 0, plane.log
        finally:
            if plane.process is not None and plane.process.poll() is None:
                plane.kill()
    assert set(answered) == {200}
    found = rows(
        database,
        "SELECT round(extract(epoch FROM at - now()) / 86400), count(*) FROM decisions GROUP BY 1",
    )
    by_day = {int(day): int(count) for day, count in found}
    assert set(by_day) == {-2, 0, 2}
    assert sum(by_day.values()) == answered.total()
    assert rows(database, "SELECT count(*) FROM completions WHERE status <> 'ok'") == [(0,)]
    assert rows(database, "SELECT count(*) FROM attempts WHERE error IS NOT NULL") == [(0,)]


def rows(database: Database, statement: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.url) as owner:
        return owner.execute(statement).fetchall()
