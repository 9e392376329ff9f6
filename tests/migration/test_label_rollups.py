"""Votes are added up once each: those of before the revision, and those that are written since."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from controlplane.database import Database, upgrade
from dataplane.contract.records import Outcome
from tests.migration.test_votes import upgrade_to
from tests.traffic import AUDIT, PostgresTraffic, label, query

BEFORE = "0013"
BY_HAND = """
SELECT date_bin('10 minutes', at, '2000-01-01Z'), tenant, segment, policy_version, tier, count(*),
    coalesce(sum(price_usd), 0)
FROM v_overview_labels GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
ADDED_UP = """
SELECT at, tenant, segment, policy_version, tier, labels, cost_usd FROM v_label_rollups
ORDER BY at, tenant, segment, policy_version, tier
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


def test_votes_of_before_and_since_are_each_added_once(empty_database: Database) -> None:
    upgrade_to(empty_database, BEFORE)
    with psycopg.connect(empty_database.url) as owner:
        owner.execute(PRICED)
    traffic = ask(empty_database, range(8))
    traffic.shipping.ship(*votes(range(5)))
    upgrade(empty_database.url)
    traffic.shipping.ship(*votes(range(2, 8)))
    added = rows(empty_database, ADDED_UP)
    assert added == rows(empty_database, BY_HAND)
    assert sum(row[5] for row in added) == 16
    assert sum(row[6] for row in added) == pytest.approx(16 * 0.25)
