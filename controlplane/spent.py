"""What was asked and spent between two moments, from records or, where they are many, from sums.

Sums have whole ten minutes: what lies at either end of a period beyond those is counted record by
record, so both ways say the same of what is summed. So is what is older than all sums: those are
forgotten in the end, and records may be kept for longer.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import reduce
from math import ceil, floor
from typing import Any, Literal, TypeAlias

from controlplane.connection import Connection
from controlplane.evaluate.cost_drift import Calls, Cell, Period
from controlplane.sql import SQL

FEW = 10_000  # queries whose records are read in an instant
STEP_S = 600  # of the rollups
NOTHING = Period({}, {})

Part: TypeAlias = tuple[Literal["", "summed_"], datetime, datetime]


def many(connection: Connection, since: datetime, until: datetime) -> bool:
    """Whether there are so many queries that their sums are read."""
    return bool(_one(connection, "count_summed_queries", since, until)["queries"] > FEW)


def first_query(connection: Connection, since: datetime, until: datetime) -> datetime | None:
    """When the first one came."""
    found: datetime | None = _one(connection, "first_query", since, until)["at"]
    return found


def unsummed(connection: Connection) -> int:
    """Records that have arrived and that the sums lack, but for those of the last seconds."""
    (row,) = connection.execute(SQL["count_unsummed"]).fetchall()
    return int(row["records"])


def spent(connection: Connection, since: datetime, until: datetime, *, summed: bool) -> Period:
    """The completed queries of a period, and all calls that were made for queries of it.

    Calls in a segment of which no query is completed yet are left for when one is.
    """
    begin = _sums_begin(connection) if summed else None
    read = (_read(connection, part) for part in parts(since, until, begin))
    found = reduce(Period.plus, read, NOTHING)
    return Period(
        found.queries,
        {cell: calls for cell, calls in found.calls.items() if cell.segment in found.queries},
    )


def parts(since: datetime, until: datetime, sums_begin: datetime | None) -> Iterator[Part]:
    """How a period is read: by which statements, from when to when; from sums where they are.

    >>> begin, end = (datetime(2026, 1, 1, 9, minute, tzinfo=UTC) for minute in (5, 33))
    >>> [(how, since.minute, until.minute) for how, since, until in parts(begin, end, begin)]
    [('', 5, 10), ('summed_', 10, 30), ('', 30, 33)]
    >>> later = begin.replace(minute=20)
    >>> [(how, since.minute, until.minute) for how, since, until in parts(begin, end, later)]
    [('', 5, 20), ('summed_', 20, 30), ('', 30, 33)]
    >>> [how for how, _, _ in parts(begin, end, None)]
    ['']
    """
    first = ceil(max(since, sums_begin or until).timestamp() / STEP_S)
    last = floor(until.timestamp() / STEP_S)
    if first >= last:
        yield "", since, until
        return
    begin, end = (datetime.fromtimestamp(step * STEP_S, UTC) for step in (first, last))
    if since < begin:
        yield "", since, begin
    yield "summed_", begin, end
    if end < until:
        yield "", end, until


def _sums_begin(connection: Connection) -> datetime | None:
    (row,) = connection.execute(SQL["sums_begin"]).fetchall()
    found: datetime | None = row["at"]
    return found


def _read(connection: Connection, part: Part) -> Period:
    prefix, since, until = part
    span = {"since": since, "until": until}
    counted = connection.execute(SQL[f"{prefix}queries_by_segment"], span).fetchall()
    rows = connection.execute(SQL[f"{prefix}spend"], span).fetchall()
    return Period(
        {row["segment"]: row["queries"] for row in counted},
        {Cell(row["segment"], row["tier"], row["purpose"]): _calls(row) for row in rows},
    )


def _calls(row: dict[str, Any]) -> Calls:
    return Calls(
        calls=row["calls"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        prompt_usd=row["prompt_usd"],
        completion_usd=row["completion_usd"],
        fee_usd=row["cost_usd"] - row["prompt_usd"] - row["completion_usd"],
    )


def _one(connection: Connection, name: str, since: datetime, until: datetime) -> dict[str, Any]:
    (row,) = connection.execute(SQL[name], {"since": since, "until": until}).fetchall()
    return row
