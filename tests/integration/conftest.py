"""The control plane's side of a fresh database, and traffic as the data plane leaves it there."""

from collections.abc import Iterator
from functools import partial

import pytest

from controlplane.connection import Connect, Connection, connect
from controlplane.database import Database
from controlplane.leader import Leader
from tests.traffic import PostgresTraffic


@pytest.fixture
def store(database: Database) -> Connect:
    """What the control plane opens connections with."""
    return partial(connect, database.url_for("penstock_controlplane"))


@pytest.fixture
def connection(store: Connect) -> Iterator[Connection]:
    """The control plane's; every statement is a transaction unless one is opened."""
    with store() as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def leader(database: Database) -> Iterator[Leader]:
    """The only control plane."""
    with Leader(database.url_for("penstock_controlplane")) as leader:
        assert leader.leads()
        yield leader


@pytest.fixture
def traffic(database: Database) -> PostgresTraffic:
    """None yet."""
    return PostgresTraffic(database.url)
