"""What each data plane serves, as the operator is told it."""

import json
from datetime import datetime

import psycopg
import pytest
from fastapi.testclient import TestClient

from controlplane import fleet, keys, push
from controlplane.connection import Connect
from controlplane.database import Database
from tests.command import Run
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


@pytest.fixture
def published_at(database: Database, store: Connect) -> datetime:
    """When the last of three versions was published, to which four planes said something."""
    with store() as connection:
        for version in (1, 2, 3):
            push.publish(connection, policy("cascade", version=version, parent=version - 1 or None))
    with psycopg.connect(database.url) as owner:
        owner.cursor().executemany(ANSWER, ANSWERS)
        (last,) = owner.execute("SELECT max(published_at) FROM publications").fetchone() or (None,)
    assert isinstance(last, datetime)
    return last


def test_each_plane_is_told_by_its_last_answer(store: Connect, published_at: datetime) -> None:
    with store() as connection:
        found = {
            each.plane: each for each in fleet.planes(connection, published_at + 2 * fleet.PATIENCE)
        }
    assert {name: each.standing for name, each in found.items()} == {
        "prompt": "current", "late": "behind", "picky": "refused",
    }  # fmt: skip
    assert found["prompt"].serves == (3,)
    assert found["picky"].serves == (2,)
    assert found["picky"].words.startswith("serves v2; refused v3 at ")
    assert found["picky"].words.endswith(": tier x is unknown")
    assert found["late"].words.startswith("BEHIND by 2 publications: serves v1")


def test_a_fresh_publication_makes_nobody_a_straggler(
    store: Connect, published_at: datetime
) -> None:
    with store() as connection:
        (late,) = (each for each in fleet.planes(connection, published_at) if each.plane == "late")
    assert late.standing == "awaited"


def test_one_that_took_nothing_serves_what_it_began_with(
    database: Database, store: Connect, published_at: datetime
) -> None:
    with psycopg.connect(database.url) as owner:
        owner.execute("DELETE FROM policy_acks WHERE plane = 'picky' AND status = 'ack'")
    with store() as connection:
        (picky,) = (
            each for each in fleet.planes(connection, published_at) if each.plane == "picky"
        )
    assert picky.serves == ()
    assert "serves what it began with; refused v3" in picky.words


def test_the_command_and_the_api_say_the_same(
    store: Connect, published_at: datetime, client: TestClient, run: Run
) -> None:
    with store() as connection:
        key = keys.create(connection, tenant="t", scopes=["read"], name="reader").reveal()
    told = client.get("/v1/planes", headers={"Authorization": f"Bearer {key}"}).json()["planes"]
    assert [each["plane"] for each in told] == ["late", "picky", "prompt"]
    assert json.loads(run("policy", "planes", "--json")) == told
    assert "prompt: serves v3 since " in run("policy", "planes")


def test_without_a_data_plane_it_says_so(run: Run) -> None:
    assert "no data plane has taken a policy yet" in run("policy", "planes")
