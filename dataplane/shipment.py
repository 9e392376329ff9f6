"""Shipment: a batch of the spool into the tables, in one transaction.

The lines go to ``staging`` by COPY, as they were spooled; Postgres takes their JSON apart and
inserts what it does not have yet. So a batch may be sent any number of times. The row of
``shipments`` in the same transaction tells the observer how far this plane's segment has arrived:
``last_offset`` is what counts, and it may be said twice.
"""

from functools import cache

from psycopg import Connection, Error
from psycopg.sql import SQL, Composed, Identifier

from dataplane.contract.records import KINDS
from dataplane.frames import Batch

_SOURCE = ("plane", "spool_segment", "offset")

_COPY = 'COPY staging (kind, body, plane, segment, "offset") FROM STDIN'

# Staging is read once and emptied as it is read: what was deleted from it before the last vacuum
# lies in the way of every scan.
_TAKE = SQL(
    """
WITH batch AS MATERIALIZED (
    DELETE FROM staging WHERE plane = %s
    RETURNING kind, body ||
        jsonb_build_object('plane', plane, 'spool_segment', segment, 'offset', "offset") AS body
), {inserts}
SELECT
"""
)

_INSERT = SQL(
    """
{name} AS (
    INSERT INTO {table} ({columns}) SELECT {values}
    FROM batch CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, batch.body) AS r
    WHERE batch.kind = {kind} ON CONFLICT DO NOTHING
)"""
)

_ARRIVED = """
INSERT INTO shipments (plane, segment, first_offset, last_offset, rows)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

_OWN_FAULT = ("22", "23", "54")  # SQLSTATE classes: bad data, a broken constraint, too large


class RefusedError(Exception):
    """The database is well, and will not have this batch as it is; the reason quotes no data."""


def ship(connection: Connection, plane: str, batch: Batch) -> None:
    """Insert a batch that is not empty; raises ``RefusedError``, or the connection's error."""
    kinds = frozenset(line.partition(b"\t")[0].decode() for line in batch.lines)
    if unknown := kinds - KINDS.keys():
        raise RefusedError(f"unknown kind of record: {min(unknown)}")
    try:
        with connection.transaction():
            _stage(connection, plane, batch)
            connection.execute(_take(kinds), (plane,))
            _arrive(connection, plane, batch, len(batch.lines))
    except Error as error:
        if (error.sqlstate or "").startswith(_OWN_FAULT):
            raise RefusedError(error.diag.message_primary or type(error).__name__) from error
        raise


def pass_over(connection: Connection, plane: str, batch: Batch) -> None:
    """Say that a batch has arrived as far as it ever will, without a row."""
    with connection.transaction():
        _arrive(connection, plane, batch, 0)


def _stage(connection: Connection, plane: str, batch: Batch) -> None:
    """One block of text: JSON holds no raw tab or newline, so only backslashes need escaping."""
    source = f"\t{plane}\t{batch.start.segment}\t"
    numbered = enumerate(batch.lines, batch.start.offset)
    rows = [line.replace(b"\\", b"\\\\") + f"{source}{n}\n".encode() for n, line in numbered]
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(b"".join(rows))


def _arrive(connection: Connection, plane: str, batch: Batch, rows: int) -> None:
    """A batch sent before under another length took the key: then say where this one ends."""
    segment, first, last = batch.start.segment, batch.start.offset, batch.last_offset
    new = connection.execute(_ARRIVED, (plane, segment, first, last, rows)).rowcount
    if not new:
        connection.execute(_ARRIVED, (plane, segment, last, last, 0))


@cache
def _take(kinds: frozenset[str]) -> Composed:
    return _TAKE.format(inserts=SQL(",").join(_insert(kind) for kind in sorted(kinds)))


def _insert(kind: str) -> Composed:
    columns = (*KINDS[kind].model_fields, *_SOURCE)
    return _INSERT.format(
        name=Identifier(f"into_{kind}"),
        table=Identifier(kind),
        columns=SQL(", ").join(map(Identifier, columns)),
        values=SQL(", ").join(Identifier("r", column) for column in columns),
        kind=kind,
    )
