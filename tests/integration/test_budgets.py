"""A key's limit, kept by two data planes on one Postgres."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from controlplane import keys
from controlplane.connection import connect
from controlplane.database import Database
from dataplane.budgets import LEASE
from dataplane.contract.keys import Key
from tests.fronts import chat
from tests.planes import RealPlane, answer, eventually, provider, real_plane
from tests.policies import CLOUD, policy

CHAT = "/v1/chat/completions"
MOST_TOKENS = 50
Make = Callable[..., Key]


@pytest.fixture
def make(database: Database) -> Iterator[Make]:
    """Makes keys that ask for answers."""
    with connect(database.url_for("penstock_controlplane")) as connection:
        connection.autocommit = True

        def make(usd: float | None) -> Key:
            return keys.create(
                connection, tenant="acme", scopes=["inference"], spend_usd_per_day=usd
            )

        yield make


def speak(body: Any) -> tuple[int, dict[str, Any]]:
    return 200, answer(body["model"], "x" * 10)


def ask(plane: RealPlane, key: Key, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key.reveal()}"}
    body = chat("1 + 1 =", max_tokens=MOST_TOKENS)
    return httpx.post(plane.url + CHAT, json=body, headers=headers, trust_env=False, **options)


def patiently(plane: RealPlane, key: Key, stop: set[str]) -> list[float]:
    """Ask until refused for one of these reasons; what each answer cost."""
    costs = []
    while True:
        response = ask(plane, key, timeout=30)
        if response.status_code == 200:
            costs.append(float(response.headers["x-penstock-cost-usd"]))
        elif response.json()["error"]["code"] in stop:
            return costs
        else:
            assert response.json()["error"]["code"] == "budget_not_at_hand", response.text


def leased(database: Database, key: Key) -> float:
    with psycopg.connect(database.url) as owner:
        row = owner.execute("SELECT sum(leased_usd) FROM spend_leases WHERE key_id = %s", [key.id])
        return float((row.fetchone() or [0.0])[0] or 0.0)


def test_two_planes_at_once_spend_no_more_than_the_limit(
    tmp_path: Path, database: Database, make: Make
) -> None:
    one_call = CLOUD.cost_usd(7, 10)
    limit = 150 * one_call
    limited, free = make(limit), make(None)
    with ExitStack() as stack:
        upstream = stack.enter_context(provider(speak))
        planes = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            options = {"document": policy("always_cloud")}
            planes.append(
                stack.enter_context(real_plane(tmp_path / name, database, upstream, **options))
            )
        pool = stack.enter_context(ThreadPoolExecutor(12))
        asked = [
            pool.submit(patiently, planes[at % 2], limited, {"insufficient_quota"})
            for at in range(12)
        ]
        spent = sum(sum(each.result()) for each in asked)
        refused = ask(planes[0], limited)
        assert refused.status_code == 429
        assert refused.headers["x-should-retry"] == "false"
        assert ask(planes[0], free).status_code == 200
    assert spent <= leased(database, limited) <= limit + 1e-12
    assert spent >= 0.6 * limit  # the most that a query may cost is 15 times what one does here


def test_a_limit_that_is_raised_holds_at_once(
    tmp_path: Path, database: Database, make: Make
) -> None:
    key = make(1e-9)
    with (
        provider(speak) as upstream,
        real_plane(tmp_path, database, upstream, document=policy("always_cloud")) as plane,
    ):
        assert "fewer max_tokens" in ask(plane, key).json()["error"]["message"]
        with connect(database.url_for("penstock_controlplane")) as connection:
            keys.limit(connection, key.id, 1.0)
        eventually(lambda: ask(plane, key).status_code == 200)
        with connect(database.url_for("penstock_controlplane")) as connection:
            (listed,) = keys.listed(connection)
    assert listed.spend_usd_per_day == 1.0
    assert 0 < (listed.leased_usd_today or 0) <= 0.5


def test_a_restart_goes_on_with_what_was_left(
    tmp_path: Path, database: Database, make: Make
) -> None:
    key = make(1.0)
    with provider(speak) as upstream:
        plane = RealPlane(tmp_path, database, upstream, policy("always_cloud"))
        plane.start()
        eventually(lambda: ask(plane, key).status_code == 200)
        before = leased(database, key)
        assert plane.stop() == 0
        plane.start()
        assert ask(plane, key).status_code == 200
        plane.stop()
    assert leased(database, key) == before


def test_the_role_of_a_data_plane_may_lease_and_nothing_else(
    database: Database, make: Make
) -> None:
    key, free = make(1.0), make(None)
    url = database.url_for("penstock_dataplane")
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as role:

        def lease(of: Key, usd: float) -> float:
            asked = {"key": of.id, "day": "2026-03-01", "usd": usd}
            row = role.execute(LEASE, asked).fetchone()
            assert row is not None
            return float(row["usd"])

        assert [lease(key, 0.6), lease(key, 0.6), lease(key, 0.6)] == pytest.approx([0.6, 0.4, 0])
        assert [lease(key, -0.5), lease(key, 9.0), lease(key, -9.0)] == pytest.approx(
            [-0.5, 0.5, -1.0]
        )
        assert [lease(key, float(odd)) for odd in ("nan", "inf", "-inf")] == [0, 0, 0]
        assert lease(free, 1.0) == 0
        for statement in (b"SELECT * FROM spend_leases", b"DELETE FROM spend_leases"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                role.execute(statement)
