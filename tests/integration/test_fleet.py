"""What each data plane serves, as the operator is told it, wherever that is."""

import json
import re
from collections.abc import Iterator, Mapping

import psycopg
import pytest
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

from controlplane import fleet, keys, push
from controlplane.connection import Connect
from controlplane.database import Database
from dashboard.figures import policies, system
from dashboard.period import PERIODS
from dashboard.store import snapshot
from tests.command import Run
from tests.pages import ControlPlane, page
from tests.policies import policy

ANSWERS = [
    ("prompt", 1, 1, "ack", None, "13 min"), ("prompt", 2, 2, "ack", None, "12 min"),
    ("prompt", 3, 3, "ack", None, "11 min"), ("late", 1, 1, "ack", None, "13 min"),
    ("picky", 2, 2, "ack", None, "12 min"), ("picky", 3, 3, "nack", "tier x is unknown", "11 min"),
    ("gone", 3, 3, "ack", None, "2 days"),
]  # fmt: skip
ANSWER = """
INSERT INTO policy_acks (plane, seq, version, status, reason, at)
VALUES (%s, %s, %s, %s, %s, now() - %s::interval)
"""
REPORTED = """
INSERT INTO plane_reports (plane, body) SELECT DISTINCT plane, '{
    "tiers": {}, "spool": {"pending_records": 0, "dropped": 0, "oldest_pending_seconds": 0}
}'::jsonb FROM policy_acks
"""
PUBLISHED = "UPDATE publications SET published_at = now() - %s::interval"


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    """Of the store; every statement is a transaction."""
    with psycopg.connect(database.url, autocommit=True) as owner:
        yield owner


@pytest.fixture(autouse=True)
def answered(store: Connect, owner: psycopg.Connection) -> None:
    """The last of three versions was published a minute ago; four planes said something."""
    with store() as connection:
        for version in (1, 2, 3):
            push.publish(connection, policy("cascade", version=version, parent=version - 1 or None))
    owner.execute(PUBLISHED, ("1 min",))
    owner.cursor().executemany(ANSWER, ANSWERS)


def planes(store: Connect) -> Mapping[str, fleet.Plane]:
    with store() as connection:
        return {each.plane: each for each in fleet.planes(connection)}


def column(test: AppTest, key: str, name: str) -> dict[str, str]:
    """A column of the one table of a page that has it, by another."""
    (frame,) = (each.value for each in test.dataframe if name in each.value)
    return dict(zip(frame[key], frame[name], strict=True))


def test_each_plane_is_told_by_its_last_answer(store: Connect) -> None:
    found = planes(store)
    assert {name: each.standing for name, each in found.items()} == {
        "prompt": "current", "late": "behind", "picky": "refused",
    }  # fmt: skip
    assert found["prompt"].serves == (3,)
    assert found["picky"].serves == (2,)
    assert found["picky"].words.startswith("serves v2; refused v3 at ")
    assert found["picky"].words.endswith(": tier x is unknown")
    assert found["late"].words.startswith("BEHIND by 2 publications: serves v1")


@pytest.mark.parametrize(("ago", "standing"), [("9 s", "awaited"), ("11 s", "behind")])
def test_a_fresh_publication_makes_nobody_a_straggler(
    store: Connect, owner: psycopg.Connection, ago: str, standing: str
) -> None:
    owner.execute(PUBLISHED, (ago,))
    assert planes(store)["late"].standing == standing


def test_one_that_took_nothing_serves_what_it_began_with(
    store: Connect, owner: psycopg.Connection
) -> None:
    owner.execute("DELETE FROM policy_acks WHERE plane = 'picky' AND status = 'ack'")
    picky = planes(store)["picky"]
    assert picky.serves == ()
    assert "serves what it began with; refused v3" in picky.words


def test_the_version_at_fault_comes_before_those_refused_beside_it(
    store: Connect, owner: psycopg.Connection
) -> None:
    beside = "not put in force, because version 3 was refused"
    owner.execute(ANSWER, ("picky", 3, 2, "nack", beside, "11 min"))
    picky = planes(store)["picky"]
    assert (picky.serves, picky.refused, picky.reason) == ((2,), (3, 2), "tier x is unknown")


def test_a_publication_that_is_refused_as_a_whole_has_no_version(
    store: Connect, owner: psycopg.Connection
) -> None:
    owner.execute("UPDATE policy_acks SET version = 0 WHERE status = 'nack'")
    assert "serves v2; refused publication 3 at " in planes(store)["picky"].words


def test_all_who_tell_of_the_planes_say_the_same(
    database: Database,
    store: Connect,
    client: TestClient,
    run: Run,
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with store() as connection:
        key = keys.create(connection, tenant="t", scopes=["read"], name="reader").reveal()
    headers = {"Authorization": f"Bearer {key}"}
    api = client.get("/v1/planes", headers=headers).json()["planes"]
    assert {each["plane"]: (each["standing"], each["serves"]) for each in api} == {
        "prompt": ("current", [3]), "late": ("behind", [1]), "picky": ("refused", [2]),
    }  # fmt: skip
    assert json.loads(run("policy", "planes", "--json")) == api
    assert run("policy", "planes").splitlines() == [f"{p['plane']}: {p['words']}" for p in api]

    metrics = client.get("/metrics", headers=headers).text
    assert set(re.findall(r"^penstock_data_planes.*", metrics, re.MULTILINE)) == {
        'penstock_data_planes{version="1",status="ack"} 1',
        'penstock_data_planes{version="3",status="ack"} 1',
        'penstock_data_planes{version="3",status="nack"} 1',
        "penstock_data_planes_behind 2",
    }

    with snapshot(database.url_for("penstock_dashboard")) as views:
        shown = policies.read(views).planes
        assert system.read(views, PERIODS["day"]).fleet == shown
    names = ("plane", "serves", "refused", "reason", "standing")
    mine = {tuple(map(str, (getattr(each, name) for name in names))) for each in shown}
    assert mine == {tuple(str(each[name]) for name in names) for each in api}

    owner.execute(REPORTED)
    beside = ControlPlane(client, {"operator": key})
    on_policies, on_system = (
        page(monkeypatch, name, database, beside) for name in ("policies", "system")
    )
    cards = {each.label: each.value for test in (on_policies, on_system) for each in test.metric}
    assert (cards["Data planes"], cards["Planes in step"]) == ("1 of 3", "1 of 3")
    assert column(on_policies, "data plane", "serves") == {
        "prompt": "v3", "late": "v1", "picky": "v2",
    }  # fmt: skip
    assert column(on_system, "plane", "policy") == {
        "prompt": "v3, current", "late": "v1, behind", "picky": "v2, refused v3",
        "gone": "not answered",
    }  # fmt: skip


def test_without_a_data_plane_it_says_so(owner: psycopg.Connection, run: Run) -> None:
    owner.execute("DELETE FROM policy_acks")
    assert "no data plane has taken a policy yet" in run("policy", "planes")
