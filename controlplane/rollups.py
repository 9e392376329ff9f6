"""Rollups: records added up by ten minutes, tenant, segment, policy version and tier, each once.

How far each spool segment is added moves with the sums, in one transaction: spools may arrive late
and twice, and a control plane may end anywhere. A record whose decision has not come waits for it.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.connection import Connect, Connection
from controlplane.leader import Leader
from controlplane.observe import Source, Watermark, news
from controlplane.sql import SQL

BATCH = 20_000  # records in one transaction
BUDGET_S = 3.0  # of one run, after which no transaction is begun


class RollupJob:
    """Adds what has arrived. Only the leader's sums stay."""

    def __init__(
        self, connect: Connect, leader: Leader, batch: int = BATCH, budget_s: float = BUDGET_S
    ) -> None:
        self._connect = connect
        self._leader = leader
        self._batch = batch
        self._budget_s = budget_s

    def run(self, _: datetime) -> str:
        """Catch up as far as time allows, in words; raises ``NotLeaderError``."""
        until_s = time.monotonic() + self._budget_s
        added = turn = self.turn()
        while turn == self._batch and time.monotonic() < until_s:
            turn = self.turn()
            added += turn
        return f"{added:,} records"

    def turn(self) -> int:
        """One transaction: how many records were added, ``batch`` at most."""
        with self._connect() as connection:
            added = add(connection, self._batch)
            self._leader.check()
        return added


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


def _marks(connection: Connection) -> Watermark:
    rows = connection.execute(SQL["load_rollup_marks"]).fetchall()
    return {Source(row["plane"], row["segment"]): row["offset"] for row in rows}


def _add(connection: Connection, span: Mapping[str, Any], room: int) -> int:
    until = min(span["arrived"], span["reached"] + room)
    for name in ("roll_up_queries", "roll_up_calls", "move_rollup_mark"):
        connection.execute(SQL[name], {**span, "until": until})
    return int(until - span["reached"])
