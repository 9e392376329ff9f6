"""What is said of the judge: now, for the API and the command; and hour by hour, for the dashboard.

A report is computed anew on each request. The job keeps the last one of each hour, for a page that
shows how a judge fared over weeks cannot read weeks of labels.
"""

from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from controlplane import gates, registry
from controlplane.audit import graded
from controlplane.connection import Connect, Connection
from controlplane.leader import Leader
from controlplane.sql import SQL

KEPT = timedelta(days=90)


def told(connection: Connection) -> list[dict[str, Any]]:
    """A report a segment of the live policy, with its gate, as JSON values; nothing is written.

    Raises ``UnknownVersionError`` before the first policy.
    """
    stand = gates.stand(connection)
    return [
        each.to_json() | {"gate": stand[each.segment].to_json()}
        for each in graded.reports(connection)
    ]


class ReportJob:
    """Keeps the last report of each hour. Only the leader's stays."""

    def __init__(self, connect: Connect, leader: Leader) -> None:
        self._connect = connect
        self._leader = leader

    def run(self, now: datetime) -> str:
        """One report a segment, in words; raises ``NotLeaderError`` where another took over."""
        with self._connect() as connection:
            version = registry.live(connection).version
            found = told(connection)
            hour = now.replace(minute=0, second=0, microsecond=0)
            for body in found:
                key = {"judge": body["judge"], "segment": body["segment"], "hour": hour, "at": now}
                row = key | {"policy_version": version, "body": Jsonb(body)}
                connection.execute(SQL["keep_judge_report"], row)
            connection.execute(SQL["forget_judge_reports"], {"before": now - KEPT})
            self._leader.check()
        return f"{sum(each['labels'] for each in found):,} labelled answers"
