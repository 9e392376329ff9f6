from pathlib import Path
from typing import Any, cast

import pytest

from dataplane.access import Keys
from dataplane.contract.keys import Key, Scope, digest, generate
from dataplane.feed import Connection


class StoredKeys:
    """The table of keys as the statement of ``access`` sees it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, tenant: str = "acme", *scopes: Scope) -> Key:
        key = generate()
        row = {"id": key.id, "sha256": digest(key.secret).hex()}
        self.rows.append(row | {"tenant": tenant, "scopes": list(scopes)})
        return key

    def execute(self, _: str) -> "StoredKeys":
        return self

    def fetchall(self) -> list[dict[str, Any]]:
        return self.rows

    @property
    def connection(self) -> Connection:
        return cast(Connection, self)


def bearer(key: Key) -> str:
    return f"Bearer {key.reveal()}"


@pytest.fixture
def stored() -> StoredKeys:
    return StoredKeys()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


def test_a_known_key_names_its_principal(stored: StoredKeys, keys: Keys) -> None:
    key = stored.add("acme", "inference", "read")
    keys.refresh(stored.connection)
    principal = keys.authenticate(bearer(key))
    assert principal is not None
    assert (principal.tenant, principal.key_id) == ("acme", key.id)
    assert principal.may("read")
    assert not principal.may("admin")


def test_anyone_else_is_refused(stored: StoredKeys, keys: Keys) -> None:
    key = stored.add("acme", "inference")
    keys.refresh(stored.connection)
    stranger, forged = generate(), Key(key.id, generate().secret)
    headers = [None, "", "Bearer", "Bearer ", "Bearer \ud800", key.reveal(), bearer(stranger)]
    headers += [bearer(forged), f"Basic {key.reveal()}", bearer(key)[:-1], bearer(key) + "a"]
    assert [keys.authenticate(header) for header in headers] == [None] * len(headers)


def test_a_revoked_key_is_refused(stored: StoredKeys, keys: Keys) -> None:
    key = stored.add("acme", "inference")
    keys.refresh(stored.connection)
    stored.rows.clear()
    keys.refresh(stored.connection)
    assert keys.authenticate(bearer(key)) is None


def test_with_the_database_away_known_keys_work(stored: StoredKeys, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = stored.add("acme", "inference")
    Keys(path).refresh(stored.connection)
    again = Keys(path)
    assert again.authenticate(bearer(key)) is not None
    assert again.authenticate(bearer(stored.add("late"))) is None
    assert again.age_s is None


def test_the_file_holds_no_usable_key(stored: StoredKeys, tmp_path: Path) -> None:
    key = stored.add("acme", "inference")
    Keys(tmp_path / "keys.json").refresh(stored.connection)
    assert key.secret not in (tmp_path / "keys.json").read_text()


def test_a_damaged_file_knows_nobody(stored: StoredKeys, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keys(path).refresh(stored.connection)
    path.write_text("[]")
    assert len(Keys(path)) == 0


def test_a_full_disk_does_not_keep_keys_out(stored: StoredKeys, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    (tmp_path / ".keys.json.new").mkdir()
    keys, key = Keys(path), stored.add("acme", "inference")
    keys.refresh(stored.connection)
    assert keys.authenticate(bearer(key)) is not None
    (tmp_path / ".keys.json.new").rmdir()
    keys.refresh(stored.connection)
    assert len(Keys(path)) == 1


def test_an_unknown_scope_gives_nothing(stored: StoredKeys, keys: Keys) -> None:
    key = stored.add("acme", cast(Scope, "root"), "read")
    keys.refresh(stored.connection)
    principal = keys.authenticate(bearer(key))
    assert principal is not None
    assert principal.scopes == {"read"}
