"""`penstock db upgrade` and `penstock key`, against a real Postgres that DATABASE_URL names."""

import json
from functools import partial

import psycopg
import pytest

from controlplane import keys
from controlplane.access import Access
from controlplane.connection import connect
from controlplane.database import Database
from dataplane.contract.keys import digest, parse
from tests.command import Run, penstock


@pytest.fixture
def run(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """`penstock` on a database without a schema."""
    return penstock(empty_database, monkeypatch, capsys)


def test_a_key_from_the_first_upgrade_to_its_end(run: Run, empty_database: Database) -> None:
    assert run("db", "upgrade") == run("db", "upgrade") == ""

    key = parse(run("key", "create", "--tenant", "acme").strip())
    assert key is not None
    with psycopg.connect(empty_database.url) as owner:
        row = owner.execute("SELECT secret_sha256, scopes FROM api_keys").fetchone()
    assert row == (digest(key.secret), ["feedback", "inference"])

    made = json.loads(run("key", "create", "--scope", "admin", "--name", "ops", "--json"))
    assert parse(made["key"]) is not None
    assert made["scopes"] == ["admin"]

    limited = json.loads(run("key", "create", "--spend-usd-per-day", "2.5", "--json"))
    assert limited["spend_usd_per_day"] == 2.5
    run("key", "limit", key.id, "0.5")
    run("key", "limit", limited["id"])
    keys_listed = json.loads(run("key", "list", "--json"))
    limits = [(one["spend_usd_per_day"], one["leased_usd_today"]) for one in keys_listed]
    assert limits == [(0.5, 0.0), (None, None), (None, None)]
    with pytest.raises(AssertionError, match="a limit of -1 USD a day"):
        run("key", "create", "--spend-usd-per-day", "-1")
    with pytest.raises(AssertionError, match="no key has the id nobody"):
        run("key", "limit", "nobody", "1")

    run("key", "revoke", key.id)
    first, second, _ = json.loads(run("key", "list", "--json"))
    assert (first["id"], first["tenant"], second["name"]) == (key.id, "acme", "ops")
    assert first["revoked_at"] is not None
    assert second["revoked_at"] is None
    assert key.secret not in run("key", "list")


def test_without_a_schema_the_remedy_is_named(
    empty_database: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL_CONTROLPLANE", empty_database.url)
    with pytest.raises(AssertionError, match="no schema: run `penstock db upgrade`"):
        run("key", "list")


def test_on_a_schema_of_before_the_remedy_is_named(run: Run, empty_database: Database) -> None:
    run("db", "upgrade")
    with psycopg.connect(empty_database.url, autocommit=True) as owner:
        owner.execute("ALTER TABLE api_keys DROP COLUMN spend_usd_per_day")
    assert "run `penstock db upgrade`" in run("key", "list", code=2)


def test_a_lent_key_ends_with_what_it_was_lent_for(database: Database) -> None:
    store = partial(connect, database.url_for("penstock_controlplane"))
    with keys.lent(store, ["read"], "dashboard") as key:
        assert Access(store).holder(f"Bearer {key}") is not None
    assert Access(store).holder(f"Bearer {key}") is None
