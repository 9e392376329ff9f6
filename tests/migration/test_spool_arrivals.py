"""How far each spool segment has arrived is kept with each shipment: of before, and since."""

from collections.abc import Sequence
from typing import Any

import psycopg

from controlplane.database import Database, upgrade
from tests.migration.test_votes import upgrade_to

BEFORE = "0017"
SHIP = """
INSERT INTO shipments (plane, segment, first_offset, last_offset, rows, shipped_at)
VALUES (%s, %s, %s, %s, 1, to_timestamp(%s))
"""
KEPT = """
SELECT plane, segment, last_offset, extract(epoch FROM shipped_at)::integer
FROM spool_arrivals ORDER BY plane, segment
"""


def ship(database: Database, *batches: tuple[str, int, int, int, int]) -> None:
    with psycopg.connect(database.url_for("penstock_dataplane")) as plane:
        plane.cursor().executemany(SHIP, batches)


def kept(database: Database) -> Sequence[tuple[Any, ...]]:
    with psycopg.connect(database.url) as owner:
        return owner.execute(KEPT).fetchall()


def test_shipments_of_before_and_since_are_both_known(empty_database: Database) -> None:
    upgrade_to(empty_database, BEFORE)
    ship(empty_database, ("a", 1, 0, 9, 100), ("a", 1, 10, 14, 110), ("b", 7, 0, 3, 120))
    upgrade(empty_database.url)
    assert kept(empty_database) == [("a", 1, 14, 110), ("b", 7, 3, 120)]
    ship(empty_database, ("a", 1, 15, 20, 130), ("a", 2, 0, 5, 140))
    assert kept(empty_database) == [("a", 1, 20, 130), ("a", 2, 5, 140), ("b", 7, 3, 120)]


def test_a_shorter_batch_that_comes_again_takes_nothing_back(database: Database) -> None:
    ship(database, ("a", 1, 0, 9, 100), ("a", 1, 5, 7, 110))
    assert kept(database) == [("a", 1, 9, 110)]


def test_planes_do_not_wait_for_each_other(database: Database) -> None:
    ship(database, ("a", 1, 0, 9, 100))
    with psycopg.connect(database.url_for("penstock_dataplane")) as slow:
        slow.execute(SHIP, ("a", 1, 10, 12, 110))
        with psycopg.connect(database.url_for("penstock_dataplane")) as other:
            other.execute("SET lock_timeout = '2s'")
            other.execute(SHIP, ("b", 1, 0, 4, 120))
    assert [row[:3] for row in kept(database)] == [("a", 1, 12), ("b", 1, 4)]
