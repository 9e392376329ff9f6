"""What a hold-out measures, on real tables."""

import json
from datetime import timedelta

import psycopg
import pytest

from controlplane import holdout, push
from controlplane.connection import Connect
from controlplane.database import Database
from controlplane.observe import PostgresLog
from dataplane.contract.publication import Part
from tests.command import Run
from tests.policies import policy
from tests.traffic import AUDIT, PostgresTraffic, query

FIRST = policy("always_cloud", kind="proposal")
SECOND = policy("cascade", version=2, parent=1)


def held_out(store: Connect, share: float = 0.1) -> None:
    """Version 1 is, from before the first query on."""
    with store() as connection:
        push.publish(connection, FIRST)
        push.publish(connection, SECOND)
        halves = [Part(version=2, share=1 - share), Part(version=1, share=share)]
        push.put_in_force(connection, halves, 2, "held out")
    with store() as connection:
        push.put_in_force(connection, halves[::-1], 3, "the same, the other way round")


def dated(database: Database) -> None:
    """The publications are older than the queries."""
    before = query(0).at - timedelta(seconds=1)
    with psycopg.connect(database.url) as connection:
        connection.execute("ALTER TABLE publications DISABLE TRIGGER USER")
        connection.execute("UPDATE publications SET published_at = %s", (before,))
        connection.execute("ALTER TABLE publications ENABLE TRIGGER USER")


def served(store: Connect, traffic: PostgresTraffic) -> None:
    """The held-out half is four times as dear and always right, the live one half the time."""
    for number in range(40):
        mine = number % 2 == 0
        tier = "cloud" if mine else "local"
        seen = query(
            number,
            answered=(tier,),
            policy_version=1 if mine else 2,
            cost_usd=(4e-5 if mine else 1e-5) * (1 + number % 4 / 10),
        )
        traffic.complete(seen, [AUDIT])
        with store() as connection:
            PostgresLog(connection).new({})
        traffic.resolve(seen, {tier: 1.0 if mine or number % 4 == 1 else 0.0})


def test_without_one_there_is_nothing_to_measure(store: Connect, run: Run) -> None:
    with store() as connection:
        assert holdout.measured(connection) is None
        push.publish(connection, FIRST)
        assert holdout.measured(connection) is None
    assert "nothing is held out" in run("policy", "holdout")


def test_saving_and_quality_are_those_of_either_side(
    store: Connect, database: Database, traffic: PostgresTraffic, run: Run
) -> None:
    held_out(store)
    dated(database)
    served(store, traffic)
    with store() as connection:
        found = holdout.measured(connection)
    assert found is not None
    assert (found.version, found.share) == (1, 0.1)
    assert (found.held.queries, found.live.queries) == (20, 20)
    assert (found.held.labels, found.live.labels) == (20, 20)
    assert (found.held.quality.estimate, found.live.quality.estimate) == (1.0, 0.5)
    assert found.saved is not None
    expected = 1 - (1e-5 * 1.2) / (4e-5 * 1.1)
    assert found.saved.estimate == pytest.approx(expected)
    assert found.saved.low < expected < found.saved.high
    said = run("policy", "holdout")
    assert "v1 is held out for 10% of conversations" in said
    assert f"saved: {expected:.1%}" in said
    told = json.loads(run("policy", "holdout", "--json"))
    assert told["saved"]["estimate"] == pytest.approx(expected)
