"""Rollups: records added up by ten minutes, tenant, segment, policy version and tier, each once.

How far each spool segment is added moves with the sums, in one transaction: spools may arrive late
and twice, and a control plane may end anywhere. A record whose decision has not come waits for it.

Sums, priced votes, and what waits are forgotten after a stated time by what they are of, the oldest
first, a few at each run. Records are kept or dropped by themselves: sums of records that are gone
stay as long as they are to, and of records that are older than all sums the records are read
(``spent.py``).
"""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from controlplane.connection import Connect, Connection
from controlplane.leader import Leader
from controlplane.observe import Source, Watermark, news
from controlplane.sql import SQL

BATCH = 20_000  # records in one transaction
BUDGET_S = 3.0  # of one run, after which no transaction is begun
KEPT = timedelta(days=400)
FORGOTTEN = 20_000  # rows of each table that one run drops at most, but for ten minutes' at least
FORGET = (
    "forget_query_sums", "forget_spend_sums", "forget_votes", "forget_latency_sums",
    "forget_waiting",
)  # fmt: skip


class RollupJob:
    """Adds what has arrived. Only the leader's sums stay."""

    def __init__(
        self,
        connect: Connect,
        leader: Leader,
        kept: timedelta = KEPT,
        batch: int = BATCH,
        budget_s: float = BUDGET_S,
    ) -> None:
        self._connect = connect
        self._leader = leader
        self._kept = kept
        self._batch = batch
        self._budget_s = budget_s

    def run(self, now: datetime) -> str:
        """Catch up as far as time allows, then forget, in words; raises ``NotLeaderError``."""
        until_s = time.monotonic() + self._budget_s
        added = turn = self.turn()
        while turn == self._batch and time.monotonic() < until_s:
            turn = self.turn()
            added += turn
        forgotten = self.forget(now - self._kept)
        return f"{added:,} records" + (f", {forgotten:,} old sums dropped" if forgotten else "")

    def turn(self) -> int:
        """One transaction: how many records were added, ``batch`` at most."""
        with self._connect() as connection:
            added = add(connection, self._batch)
            self._leader.check()
        return added

    def forget(self, before: datetime) -> int:
        """One transaction: how many rows of what was before that are dropped."""
        with self._connect() as connection:
            dropped = forget(connection, before)
            self._leader.check()
        return dropped


def add(connection: Connection, batch: int) -> int:
    """Add at most ``batch`` records to the sums, within the connection's transaction."""
    connection.execute(SQL["lock_rollups"])
    connection.execute(SQL["few_rows_of_many"])
    room = batch
    for _, span in news(connection, _marks(connection)):
        if not room:
            break
        room -= _add(connection, span, room)
    return batch - room


def forget(connection: Connection, before: datetime, most: int = FORGOTTEN) -> int:
    """Drop sums of before that, the oldest first: some ``most`` rows of each table."""
    what = {"before": before, "most": most}
    return sum(connection.execute(SQL[name], what).rowcount for name in FORGET)


def _marks(connection: Connection) -> Watermark:
    rows = connection.execute(SQL["load_rollup_marks"]).fetchall()
    return {Source(row["plane"], row["segment"]): row["offset"] for row in rows}


def _add(connection: Connection, span: Mapping[str, Any], room: int) -> int:
    until = min(span["arrived"], span["reached"] + room)
    for name in ("roll_up_queries", "roll_up_calls", "move_rollup_mark"):
        connection.execute(SQL[name], {**span, "until": until})
    return int(until - span["reached"])
