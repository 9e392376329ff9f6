"""Export: closed days of the log as Parquet, a file a table and day, for whatever reads Parquet.

A day is closed once it is over, in UTC. Records and labels may still come for it: a file with fewer
rows than the store has of its day is written anew, and one with more, since retention dropped them,
is left alone. Texts of prompts and answers are never exported.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from psycopg import sql
from psycopg.rows import tuple_row
from pyarrow import parquet

from controlplane.connection import Connection
from controlplane.sql import SQL
from dataplane.contract.errors import OperatorError
from dataplane.contract.tables import ROWS

TABLES = (*(name for name in ROWS if name != "texts"), "labels")
ROWS_AT_ONCE = 20_000
AS_TEXT = ("uuid", "jsonb")  # Parquet has no such types


class ExportError(OperatorError):
    """A file cannot be read or written; the text names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file, and how many rows it has now."""

    path: Path
    rows: int


def closed_days(connection: Connection, now: datetime) -> list[date]:
    """From the first day with a record to yesterday."""
    row = connection.execute(SQL["first_day"]).fetchone()
    first, today = row["first"] if row else None, now.astimezone(UTC).date()
    return [] if first is None else [first + timedelta(n) for n in range((today - first).days)]


def export(connection: Connection, folder: Path, table: str, day: date) -> Written | None:
    """Write what a day has of a table; None where its file has it already, or nothing is there.

    One transaction, read only. Raises ``ExportError``.
    """
    path = folder / table / f"{day}.parquet"
    with connection.transaction():
        count = _count(connection, table, day)
        if count <= _held(path):
            return None
        with _whole(path) as part:
            return Written(path, _write(connection, table, day, part))


def _count(connection: Connection, table: str, day: date) -> int:
    counted = _of_day(sql.SQL("count(*) AS rows"), table)
    row = connection.execute(counted, _bounds(day)).fetchone()
    return int(row["rows"]) if row else 0


def _held(path: Path) -> int:
    try:
        return int(parquet.read_metadata(path).num_rows) if path.exists() else 0
    except (pa.ArrowException, OSError) as error:
        raise ExportError(f"{path}: not Parquet ({error}); move it away") from error


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of ``path`` once it is whole and on the disk."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        why = error.strerror or error
        raise ExportError(f"cannot write {path}: {why}; name a folder with room") from error
    finally:
        part.unlink(missing_ok=True)


def _write(connection: Connection, table: str, day: date, part: Path) -> int:
    columns = _columns(connection, table)
    schema = pa.schema([pa.field(name, _arrow(kind)) for name, kind in columns.items()])
    listed = sql.SQL(", ").join(
        sql.SQL("{}::text" if kind in AS_TEXT else "{}").format(sql.Identifier(name))
        for name, kind in columns.items()
    )
    asked = _of_day(listed, table) + sql.SQL(" ORDER BY at")
    rows = 0
    with (
        connection.cursor(name="export", row_factory=tuple_row) as cursor,
        parquet.ParquetWriter(part, schema, compression="zstd") as writer,
    ):
        cursor.execute(asked, _bounds(day))
        while found := cursor.fetchmany(ROWS_AT_ONCE):
            values = zip(zip(*found, strict=True), schema, strict=True)
            arrays = [pa.array(column, field.type) for column, field in values]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows += len(found)
    return rows


def _columns(connection: Connection, table: str) -> dict[str, str]:
    """Postgres's types by name, in order."""
    empty = sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))
    return {c.name: c.type_display for c in connection.execute(empty).description or []}


def _arrow(kind: str) -> Any:
    if kind in ("int2", "int4", "int8"):
        return pa.int64()
    if kind == "timestamptz":
        return pa.timestamp("us", "UTC")
    plain = {"float8": pa.float64(), "bool": pa.bool_(), "text[]": pa.list_(pa.string())}
    return plain.get(kind, pa.string())


def _of_day(listed: sql.Composable, table: str) -> sql.Composed:
    return sql.SQL("SELECT {} FROM {} WHERE at >= %(since)s AND at < %(until)s").format(
        listed, sql.Identifier(table)
    )


def _bounds(day: date) -> dict[str, datetime]:
    since = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"since": since, "until": since + timedelta(days=1)}
