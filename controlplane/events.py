"""Events: what a person should see."""

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from controlplane.connection import Connection
from controlplane.sql import SQL


def record_event(connection: Connection, kind: str, body: Mapping[str, Any]) -> None:
    """Keep one, within the connection's transaction."""
    connection.execute(SQL["add_event"], {"kind": kind, "body": Jsonb(body)})
