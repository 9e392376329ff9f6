"""What the control plane remembers between turns: named JSON rows, each with its checksum."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

from controlplane.connection import Connection
from controlplane.sql import SQL
from dataplane.contract.errors import OperatorError

SCHEMA = 1
T = TypeVar("T")


class CorruptStateError(OperatorError):
    """A row that is not what was written, or is of a schema that this version does not know."""


def checksum(body: str) -> str:
    """SHA-256 of the text, in hexadecimal."""
    return hashlib.sha256(body.encode()).hexdigest()


def load(connection: Connection, name: str) -> str | None:
    """The body of a row, or None where there is none; raises ``CorruptStateError``."""
    row = connection.execute(SQL["load_state"], {"name": name}).fetchone()
    if row is None:
        return None
    if row["schema"] != SCHEMA:
        raise CorruptStateError(
            f"learner_state '{name}' has schema {row['schema']}, this version reads {SCHEMA}: "
            "upgrade penstock, or delete the row to start anew"
        )
    if checksum(row["body"]) != row["checksum"]:
        raise CorruptStateError(
            f"learner_state '{name}' does not match its checksum: restore it from a backup, "
            "or delete the row to start anew"
        )
    return str(row["body"])


def understood(name: str, body: str, read: Callable[[str], T]) -> T:
    """What a row says, as ``read`` has it; raises ``CorruptStateError`` where that cannot."""
    try:
        return read(body)
    except ValueError as error:
        raise CorruptStateError(
            f"{error}: go back to the version that wrote it, or delete the row '{name}' of "
            "learner_state to start anew"
        ) from None


def save(connection: Connection, name: str, body: str) -> str:
    """Write a row; returns its checksum."""
    digest = checksum(body)
    row = {"name": name, "body": body, "checksum": digest, "schema": SCHEMA}
    connection.execute(SQL["save_state"], row)
    return digest


def lock(connection: Connection, name: str, first: str) -> str:
    """Hold a row until the transaction ends; its checksum. Without a row, ``first`` becomes it."""
    row = {"name": name, "body": first, "checksum": checksum(first), "schema": SCHEMA}
    connection.execute(SQL["first_state"], row)
    held = connection.execute(SQL["lock_state"], {"name": name}).fetchone()
    assert held is not None
    return str(held["checksum"])


def held(connection: Connection, name: str, first: str) -> str:
    """The body of a row that ``lock`` holds."""
    lock(connection, name, first)
    body = load(connection, name)
    assert body is not None
    return body


def load_value(connection: Connection, name: str, default: Any) -> Any:
    """A small JSON value kept as a row."""
    body = load(connection, name)
    return default if body is None else json.loads(body)


def save_value(connection: Connection, name: str, value: Any) -> None:
    """Keep a small JSON value as a row."""
    save(connection, name, json.dumps(value))
