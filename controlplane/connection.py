"""One way to a Postgres session: UTC, rows as dicts, never waiting for ever."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow, dict_row

from controlplane.database import libpq_url

Connection: TypeAlias = psycopg.Connection[DictRow]
Connect: TypeAlias = Callable[[], AbstractContextManager[Connection]]

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 60_000
IDLE_IN_TRANSACTION_MS = 30_000  # a stopped control plane must not keep the others from its rows


def connect(url: str, **parameters: Any) -> Connection:
    """An open session; as a context manager it commits, or rolls back and closes."""
    settings = {
        "TimeZone": "UTC",
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_MS,
    } | parameters
    return psycopg.connect(
        libpq_url(url),
        row_factory=dict_row,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="penstock-controlplane",
        options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
    )
