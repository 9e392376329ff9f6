"""The store as the dashboard reads it: one read-only snapshot, bounded in time and in rows."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from itertools import chain
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

URL_VARIABLE = "DATABASE_URL_DASHBOARD"
ROWS = 2_000
SETTINGS = {
    "TimeZone": "UTC",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "repeatable\\ read",  # all figures of one picture agree
    "random_page_cost": 1.1,  # what pages ask for is recent, and so in memory
    "statement_timeout": 5_000,
    "idle_in_transaction_session_timeout": 10_000,
}
CONNECT_SECONDS = 3

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_ROLELESS = re.compile(r'role ".+" does not exist')


class StoreUnavailable(Exception):  # noqa: N818 - reads as what is the matter
    """One line: what cannot be read, why, and the remedy; never a password."""


class Store:
    """A snapshot of the views; its queries are those of ``sql/``, by name."""

    def __init__(self, connection: psycopg.Connection[DictRow]) -> None:
        self._connection = connection

    def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """What a query finds, at most ``ROWS`` rows."""
        return self._connection.execute(SQL[name], {"rows": ROWS, **parameters}).fetchall()

    def row(self, name: str, **parameters: Any) -> dict[str, Any]:
        """The one row of a query that always has one."""
        (found,) = self.rows(name, **parameters)
        return found

    def row_or_none(self, name: str) -> dict[str, Any] | None:
        """The one row of a query that may have none."""
        return next(iter(self.rows(name)), None)


@contextmanager
def snapshot(url: str) -> Iterator[Store]:
    """Open the store for as long as one picture takes; raises ``StoreUnavailable``."""
    if not url:
        raise StoreUnavailable(
            f"{URL_VARIABLE} is unset: start by `penstock dashboard`, or name the database there"
        )
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    try:
        with psycopg.connect(
            url,
            row_factory=dict_row,
            connect_timeout=CONNECT_SECONDS,
            application_name="penstock-dashboard",
            options=options,
        ) as connection:
            yield Store(connection)
    except psycopg.Error as error:
        raise StoreUnavailable(_words(error, url)) from None


def _words(error: psycopg.Error, url: str) -> str:
    match error:
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return "the database lacks what this build reads: run `penstock db upgrade`"
        case psycopg.errors.InsufficientPrivilege():
            return f"the views may not be read: {URL_VARIABLE} must name role penstock_dashboard"
        case psycopg.errors.QueryCanceled():
            return "the database took too long: choose a shorter period"
        case psycopg.ProgrammingError() if error.sqlstate is None:
            return f"{URL_VARIABLE} is not a Postgres URL: expected postgresql://user@host/database"
        case _:
            return _unreachable(error, url)


def _unreachable(error: psycopg.Error, url: str) -> str:
    parts = conninfo_to_dict(url)
    where = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    reason = first.rpartition(" failed: ")[2]
    if password := parts.get("password"):
        reason = reason.replace(str(password), "***")
    remedy = (
        "run `penstock db upgrade`" if _ROLELESS.search(reason) else "start it by `penstock up`"
    )
    return (
        f"cannot read Postgres at {where} ({reason}): {remedy}, "
        f"or check {URL_VARIABLE}; this page tries again by itself"
    )


def parse(sources: Iterable[str]) -> dict[str, bytes]:
    """The statements of SQL texts by their names; raises ``ValueError`` where two share one."""
    named: dict[str, bytes] = {}
    for name, statement in chain.from_iterable(map(_statements, sources)):
        if name in named:
            raise ValueError(f"two statements are named {name}")
        named[name] = statement
    return named


def _statements(source: str) -> Iterator[tuple[str, bytes]]:
    parts = _NAME.split(source)[1:]
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = (line for line in body.splitlines() if not line.startswith("--"))
        yield name, "\n".join(lines).strip().encode()


SQL = parse(
    each.read_text("utf-8")
    for each in (files(__package__) / "sql").iterdir()
    if each.name.endswith(".sql")
)
