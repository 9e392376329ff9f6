"""What the demo reads of a real store."""

from collections.abc import Iterator

import pytest
from psycopg.types.json import Jsonb

from controlplane.connection import Connection, connect
from controlplane.database import Database
from controlplane.demo import ledger
from controlplane.demo.ledger import Counts
from controlplane.events import record_event
from controlplane.registry import store
from tests.policies import policy


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.url_for("penstock_controlplane")) as opened:
        yield opened


def test_an_empty_store(connection: Connection) -> None:
    assert ledger.counts(connection) == Counts(0, 0, 0, 0, 0, 0, 0, 0)
    assert ledger.spent(connection) == {}
    assert ledger.estimate(connection) is None
    assert ledger.versions(connection) == []
    assert ledger.cloud_call_usd(connection, "cloud") is None


def test_events_are_read_once(connection: Connection) -> None:
    record_event(connection, "alarm", {"reason": "the mix changed"})
    (first,) = ledger.events_since(connection, 0)
    assert (first.kind, first.body) == ("alarm", {"reason": "the mix changed"})
    assert ledger.events_since(connection, first.id) == []


def test_the_latest_estimate_with_an_interval(connection: Connection) -> None:
    statement = (
        'INSERT INTO estimates (policy_version, "window", n, quality, lo, hi, detail) '
        "VALUES (1, 'run', %s, %s, %s, %s, %s)"
    )
    for row in ((100, 0.8, 0.7, 0.9), (200, 0.85, 0.8, 0.9), (210, None, None, None)):
        connection.execute(statement, (*row, Jsonb({"labels": 20})))
    assert ledger.estimate(connection) == ledger.Estimate(200, 0.85, 0.8, 0.9, 20)


def test_a_version_nobody_took(connection: Connection) -> None:
    store(connection, policy())
    (version,) = ledger.versions(connection)
    assert (version.policy, version.acked, version.decisions) == (policy(), False, 0)
