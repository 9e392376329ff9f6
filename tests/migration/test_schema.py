from collections.abc import Iterator

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from controlplane.database import Database, engine
from dataplane.contract.records import KINDS
from dataplane.contract.shared import METADATA
from dataplane.contract.tables import PARTITION, ROWS

COLUMNS = """
SELECT table_name || '.' || column_name, data_type, udt_name, is_nullable, column_default
FROM information_schema.columns JOIN information_schema.tables
    USING (table_catalog, table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
"""
CONSTRAINTS = """
SELECT relname || '.' || conname, pg_get_constraintdef(con.oid)
FROM pg_constraint con JOIN pg_class ON pg_class.oid = conrelid
WHERE connamespace = 'public'::regnamespace
"""
INDEXES = (
    "SELECT tablename || '.' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
)
STORAGE = """
SELECT relname || '.', relkind, relpersistence, pg_get_partkeydef(oid) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with engine(database.url).connect() as open_connection:
        yield open_connection
    open_connection.engine.dispose()


@pytest.fixture
def declared(empty_database: Database) -> Database:
    """A database built from the table classes, without a migration."""
    owner = engine(empty_database.url)
    METADATA.create_all(owner)
    owner.dispose()
    return empty_database


def facts(database: Database, query: str) -> set[tuple[object, ...]]:
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(query.encode()).fetchall()
    return {row for row in rows if not PARTITION.fullmatch(table := row[0].partition(".")[0])
            and table != "alembic_version"}  # fmt: skip


def test_the_migrated_schema_is_that_of_the_tables(connection: Connection) -> None:
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_server_default": True,
            "include_name": lambda name, kind, _: (
                not (kind == "table" and PARTITION.fullmatch(name or ""))
            ),
        },
    )
    assert compare_metadata(context, METADATA) == []


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES, STORAGE])
def test_so_are_its_checks_its_defaults_and_its_partitioning(
    database: Database, declared: Database, query: str
) -> None:
    migrated = facts(database, query)
    assert migrated
    assert migrated == facts(declared, query)


@pytest.mark.parametrize("table", KINDS)
def test_a_records_fields_are_its_tables_columns(table: str) -> None:
    source = {"plane", "spool_segment", "offset"}
    assert set(ROWS[table].model_fields) == set(KINDS[table].model_fields) | source


@pytest.mark.parametrize("table", KINDS)
def test_a_field_may_be_null_where_its_column_may(table: str) -> None:
    optional = {
        name
        for name, field in KINDS[table].model_fields.items()
        if type(None) in getattr(field.annotation, "__args__", ())
    }
    columns = METADATA.tables[table].columns
    assert optional == {column.name for column in columns if column.nullable}
