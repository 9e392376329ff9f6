"""Planes of the release before work on the new schema: each revision keeps what was there.

Columns stay, of the same type, and what is new in a table fills itself; views keep their columns in
their order; no right is taken away.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import TypeAlias

import pytest
from alembic import command
from sqlalchemy import Connection, text

from controlplane import database as store
from controlplane.database import Database, engine

RETIRED = {"0014": import_module("migrations.versions.0014_fleet").REPLACED}  # views, for v_fleet
COLUMNS = """
SELECT c.relkind = 'v' AS view, relname, attname, format_type(atttypid, atttypmod) AS type,
    attnotnull AND NOT atthasdef AND attidentity = '' AS wanted
FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') AND attnum > 0
    AND NOT attisdropped AND NOT relispartition AND relname <> 'alembic_version'
ORDER BY relname, attnum
"""
RIGHTS = """
SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants
WHERE grantee LIKE 'penstock%'
"""
Column: TypeAlias = tuple[str, str, bool]  # name, type, whether whoever writes has to fill it


class Offered:
    """What a schema offers to planes: tables' and views' columns, and rights."""

    def __init__(self, connection: Connection) -> None:
        self.tables: dict[str, list[Column]] = {}
        self.views: dict[str, list[Column]] = {}
        for view, name, *column in connection.execute(text(COLUMNS)):
            (self.views if view else self.tables).setdefault(name, []).append(tuple(column))
        self.rights = {tuple(right) for right in connection.execute(text(RIGHTS))}

    def missed(self, before: "Offered", retired: Mapping[str, str]) -> list[str]:
        """What planes that knew ``before`` would miss here."""
        missing = [f"table {n}" for n in before.tables if n not in self.tables]
        missing += [f"view {n}" for n in before.views if n not in self.views and n not in retired]
        for name, known in before.tables.items():
            here = self.tables.get(name, [])
            missing += [f"{name}.{each[0]}" for each in known if each[:2] not in map(_typed, here)]
            news = [each for each in here if each[0] not in [one[0] for one in known]]
            missing += [f"a value for {name}.{each[0]}" for each in news if each[2]]
        for name, known in before.views.items():
            here = self.views.get(name, [])[: len(known)]
            missing += [f"{name} as it was" for _ in known[:1] if here and here != known]
        gone = before.rights - self.rights
        return missing + [f"the right {each}" for each in sorted(gone) if each[1] not in retired]


def _typed(column: Column) -> tuple[str, str]:
    return column[:2]


def upgraded(database: Database, applied: Callable[[Connection, str], None]) -> None:
    """Upgrade from nothing; ``applied`` sees the schema after each revision."""
    with connected(database) as connection:
        config = store._alembic(partial(applied, connection))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def connected(database: Database) -> Iterator[Connection]:
    owner = engine(database.url)
    try:
        with owner.connect() as connection:
            yield connection
    finally:
        owner.dispose()


def test_each_revision_keeps_what_the_one_before_offered(empty_database: Database) -> None:
    offers: list[tuple[str, Offered]] = []
    upgraded(
        empty_database,
        lambda connection, said: offers.append((said.partition(":")[0], Offered(connection))),
    )
    assert len(offers) > 15
    for (_, before), (revision, after) in pairwise(offers):
        assert after.missed(before, RETIRED.get(revision, {})) == [], revision


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ("ALTER TABLE decisions DROP COLUMN tenant CASCADE", "decisions.tenant"),
        ("ALTER TABLE shipments ADD COLUMN more integer NOT NULL", "a value for shipments.more"),
        ("ALTER TABLE shipments ALTER COLUMN rows TYPE bigint", "shipments.rows"),
        ("DROP VIEW v_filters", "view v_filters"),
        ("REVOKE INSERT ON decisions FROM penstock_dataplane", "the right"),
    ],
)
def test_what_would_be_missed_is_named(database: Database, change: str, missed: str) -> None:
    with connected(database) as connection:
        before = Offered(connection)
        connection.execute(text(change))
        assert any(each.startswith(missed) for each in Offered(connection).missed(before, {}))
