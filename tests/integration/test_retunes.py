"""Retunes on real tables: what they began from comes back where they break the promise."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial

import pytest

from controlplane import operators, push, registry, states
from controlplane.connection import Connect, connect
from controlplane.cycle import FROZEN, Cycle
from controlplane.database import Database
from controlplane.leader import Leader
from dataplane.contract.publication import Part
from dataplane.contract.terms import AuditTerms
from dataplane.strategies import Drawn
from tests.policies import policy
from tests.scripted_learner import scripted
from tests.traffic import PostgresTraffic, query

AUDIT = 0.2
LIVE = policy("always_cloud", kind="proposal", audit=AuditTerms(rate=AUDIT, held_out=0.0))
GOOD, BAD = {"cloud": 1.0}, {"cloud": 0.0}


class House:
    """A control plane's cycle whose learner retunes once, and audited queries."""

    def __init__(self, store: Connect, leader: Leader, traffic: PostgresTraffic) -> None:
        self.store, self._traffic = store, traffic
        self._cycle = partial(Cycle, store, leader)
        self._number = 0

    def turn(self, *lambdas: float) -> None:
        """A turn of a fresh process."""
        self._cycle(scripted(*lambdas)).run(query(self._number).at - timedelta(milliseconds=50))

    def serve(self, count: int, right: Mapping[str, float], version: int) -> None:
        """Queries that a version served from the cloud, all of them drawn and labelled."""
        served = [
            query(self._number + at, answered=("cloud",), policy_version=version)
            for at in range(count)
        ]
        self._number += count
        for each in served:
            self._traffic.complete(each, [Drawn("audit", AUDIT)])
        self.turn()
        for each in served:
            self._traffic.resolve(each, right)
        self.turn()

    def in_force(self) -> tuple[Part, ...]:
        with self.store() as connection:
            newest = registry.latest(connection)
        assert newest is not None
        return newest.parts


@pytest.fixture
def house(database: Database, traffic: PostgresTraffic) -> Iterator[House]:
    """Version 1 is structural, version 2 its retune."""
    url = database.url_for("penstock_controlplane")
    store = partial(connect, url)
    with store() as connection:
        push.publish(connection, LIVE)
    with Leader(url) as leader:
        assert leader.leads()
        made = House(store, leader, traffic)
        made.turn(0.3)
        made.serve(1, GOOD, version=1)
        assert made.in_force() == (Part(version=2),)
        made.turn()
        yield made


def test_retunes_that_break_the_promise_give_way_to_what_they_began_from(house: House) -> None:
    house.serve(10, GOOD, version=2)
    assert house.in_force() == (Part(version=2),)
    house.serve(20, BAD, version=2)
    assert house.in_force() == (Part(version=1),)
    with house.store() as connection:
        rows = connection.execute("SELECT body FROM events WHERE kind = 'rollback'").fetchall()
    assert [row["body"]["version"] for row in rows] == [1]
    assert "the retunes of version 1 do not keep what is promised" in rows[0]["body"]["reason"]
    house.serve(20, BAD, version=1)  # nothing is left to go back to
    assert house.in_force() == (Part(version=1),)


def test_frozen_they_are_watched_and_stay_until_it_thaws(house: House) -> None:
    with house.store() as connection:
        states.save_value(connection, FROZEN, True)
    house.serve(20, BAD, version=2)
    assert house.in_force() == (Part(version=2),)
    with house.store() as connection:
        states.save_value(connection, FROZEN, False)
    house.turn()
    assert house.in_force() == (Part(version=1),)


def test_an_operators_word_begins_the_watch_anew(house: House) -> None:
    house.serve(5, BAD, version=2)
    with house.store() as connection:
        operators.restore(connection, 2, "ada", "it is the labels", query(60).at)
    house.serve(5, BAD, version=2)
    assert house.in_force() == (Part(version=2),)
