"""Fixtures that several kinds of test share: a real Postgres, and a fresh database in it."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import psycopg
import pytest
from hypothesis import settings
from psycopg.conninfo import conninfo_to_dict

from controlplane.database import Database, at_socket, embedded, upgrade

settings.register_profile("penstock", deadline=None)  # a busy machine is no failure
settings.load_profile("penstock")

Databases: TypeAlias = Callable[[str], AbstractContextManager[Database]]

# Losing a test's data to a power cut is fine.
QUICK = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Database]:
    """A private server for the whole session; the database in it is empty."""
    with (
        TemporaryDirectory(prefix="penstock-test-") as directory,
        embedded(Path(directory), QUICK) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def databases(postgres: Database) -> Databases:
    """Make a database as a copy of the one named, for as long as the context lasts."""
    numbers = itertools.count()
    directory = Path(str(conninfo_to_dict(postgres.url)["host"]))

    @contextmanager
    def copy(template: str) -> Iterator[Database]:
        name = f"test_{next(numbers)}"
        with psycopg.connect(postgres.url, autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
            try:
                yield at_socket(directory, name)
            finally:
                server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    return copy


@pytest.fixture(scope="session")
def migrated(databases: Databases) -> Iterator[str]:
    """The name of a migrated database, to be copied and not connected to.

    It keeps the partitions of today and tomorrow alone: with fewer files a copy is faster.
    """
    with databases("template1") as database:
        upgrade(database.url)
        _drop_later_days(database)
        yield str(conninfo_to_dict(database.url)["dbname"])


@pytest.fixture(scope="module")
def shared_database(databases: Databases, migrated: str) -> Iterator[Database]:
    """A migrated database for all tests of a module, which leave it as it was."""
    with databases(migrated) as fresh:
        yield fresh


@pytest.fixture
def database(databases: Databases, migrated: str) -> Iterator[Database]:
    """A fresh migrated database; ``.url`` is the owner's, ``.url_for(role)`` a plane's."""
    with databases(migrated) as fresh:
        yield fresh


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[Database]:
    """A fresh database without a schema."""
    with databases("template1") as fresh:
        yield fresh


@pytest.fixture
def golden_records() -> dict[str, Any]:
    """Table name to one record as JSON, every field shown."""
    golden = Path(__file__).with_name("contract") / "golden" / "records.json"
    records: dict[str, Any] = json.loads(golden.read_text())
    return records


def _drop_later_days(database: Database) -> None:
    with psycopg.connect(database.url) as owner:
        later = owner.execute(
            """
            SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'
            AND substring(relname FROM '_p(\\d{8})$') > to_char(now() + '1 day', 'YYYYMMDD')
            """
        )
        owner.execute(f"DROP TABLE {', '.join(name for (name,) in later)}".encode())
