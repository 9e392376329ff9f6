"""Votes are set down once each: those of before the revision, and those that are written since."""

import json
from collections.abc import Sequence
from typing import Any

import psycopg

from controlplane.database import Database, upgrade
from dataplane.contract.records import Outcome
from tests.migration.test_votes import upgrade_to
from tests.traffic import AUDIT, PostgresTraffic, label, query

BEFORE = "0015"
BY_HAND = """
SELECT at, tenant, segment, policy_version, tier, price_usd FROM v_overview_labels ORDER BY at
"""
SET_DOWN = """
SELECT at, tenant, segment, policy_version, tier, price_usd FROM v_priced_votes ORDER BY at
"""
PRICED = """
INSERT INTO policy_terms (version, local, cloud, call_usd, char_usd, label_price_usd)
VALUES (1, 'local', 'cloud', 0.01, 0.0, 0.25)
"""


def rows(database: Database, statement: str) -> Sequence[tuple[Any, ...]]:
    with psycopg.connect(database.url) as owner:
        return owner.execute(statement.encode()).fetchall()


def votes(numbers: range) -> list[Outcome]:
    """Three votes on each query: of two people, and of an application, which does not count."""
    who = ("anna", "bob", "application:x")
    return [label(query(300 * number), "local", 1.0, each) for number in numbers for each in who]


def ask(database: Database, numbers: range) -> PostgresTraffic:
    traffic = PostgresTraffic(database.url)
    for number in numbers:
        traffic.complete(query(300 * number), [AUDIT])
    return traffic


def test_votes_of_before_and_since_are_each_set_down_once(empty_database: Database) -> None:
    upgrade_to(empty_database, BEFORE)
    with psycopg.connect(empty_database.url) as owner:
        owner.execute(PRICED)
    traffic = ask(empty_database, range(8))
    traffic.shipping.ship(*votes(range(5)))
    upgrade(empty_database.url)
    traffic.shipping.ship(*votes(range(2, 8)))
    found = rows(empty_database, SET_DOWN)
    assert found == rows(empty_database, BY_HAND)
    assert [row[5] for row in found] == [0.25] * 16


def test_labellers_do_not_wait_for_each_other(database: Database) -> None:
    traffic = ask(database, range(2))
    traffic.shipping.ship(*votes(range(1)))
    one, other = (label(query(300 * number), "local", 1.0, "carl") for number in range(2))
    row = "INSERT INTO outcomes SELECT (jsonb_populate_record(NULL::outcomes, %s::jsonb)).*"
    with psycopg.connect(database.url) as first, psycopg.connect(database.url) as second:
        second.execute("SET lock_timeout = '2s'")
        for connection, vote in ((first, one), (second, other)):
            written = {
                **vote.model_dump(mode="json"), "plane": "controlplane", "spool_segment": 0,
                "offset": 0,
            }  # fmt: skip
            connection.execute(row.encode(), (json.dumps(written),))
        second.commit()
    assert len(rows(database, SET_DOWN)) == 4
