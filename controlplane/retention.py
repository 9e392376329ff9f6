"""Retention: records of long ago are counted, and dropped with their partitions.

Never before they were observed and added up; what they add up to, labels and votes stay.
"""

from datetime import date, datetime, timedelta

import psycopg

from controlplane.connection import Connect, Connection
from controlplane.leader import Leader
from controlplane.sql import SQL

PATIENCE = timedelta(hours=1)  # that what has arrived may wait to be observed


class RetentionJob:
    """Drops records that are older than ``kept``, a partition a transaction. Only the leader's."""

    def __init__(self, connect: Connect, leader: Leader, kept: timedelta) -> None:
        self._connect = connect
        self._leader = leader
        self._kept = kept

    def run(self, now: datetime) -> str | None:
        """Drop what there is, in words; raises ``NotLeaderError``."""
        before, records, tables = (now - self._kept).date(), 0, 0
        if self._behind(now):
            return "nothing dropped: what arrived an hour ago is not observed and added up yet"
        try:
            while (found := self._drop(before)) is not None:
                records, tables = records + found, tables + 1
        except psycopg.errors.LockNotAvailable:
            return f"{_words(records, before)}; a table is busy, the rest next time"
        return _words(records, before) if tables else None

    def _drop(self, before: date) -> int | None:
        """One transaction: how many records went; None where none are so old."""
        with self._connect() as connection:
            found = drop(connection, before)
            self._leader.check()
        return found

    def _behind(self, now: datetime) -> bool:
        with self._connect() as connection:
            row = connection.execute(SQL["oldest_unobserved"]).fetchone()
        oldest = row["shipped_at"] if row else None
        return oldest is not None and oldest < now - PATIENCE


def drop(connection: Connection, before: date) -> int | None:
    """Drop the oldest partition with records of before that day (UTC), or late ones of one table.

    How many records went with it, or None where there is nothing so old.
    """
    row = connection.execute(SQL["drop_records"], {"before": before}).fetchone()
    return None if row is None or row["of_table"] is None else int(row["records"])


def _words(records: int, before: date) -> str:
    return f"{records:,} records of before {before} dropped"
