"""The control plane's side of a fresh database, and traffic as the data plane leaves it there."""

from collections.abc import Iterator
from functools import partial

import pytest
from fastapi.testclient import TestClient

from controlplane import api
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import Connect, Connection, connect
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from tests.command import Run, penstock
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


@pytest.fixture
def run(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """`penstock` as an operator runs it on this database."""
    return penstock(database, monkeypatch, capsys)


@pytest.fixture
def client(store: Connect, leader: Leader) -> Iterator[TestClient]:
    """The control plane's API, for whoever brings a key."""
    parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings())
    with TestClient(api.build(parts), raise_server_exceptions=False) as client:
        yield client
