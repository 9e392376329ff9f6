"""When things run: job names and cadences. The schedule is in memory, its runs are in ``job_runs``.

Only the leader runs jobs, and each due run is claimed by inserting its row, so two control planes
that both believe to lead for a moment still do a run once.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from controlplane.connection import Connect, Connection
from controlplane.leader import Leader
from controlplane.sql import SQL

log = logging.getLogger(__name__)

Action = Callable[[datetime], object]  # what a run returns is kept with it, in words

HEARTBEAT_S = 2.0
RUNS_KEPT = timedelta(days=1)
MOST_AHEAD = timedelta(seconds=60)  # of the database's clock, or behind it, for a job to be done
REPORTS_KEPT = timedelta(days=7)
REPORT_SUMS_KEPT = timedelta(days=32)  # pages look back on 31


@dataclass(frozen=True, slots=True)
class Job:
    """A name and a cadence."""

    name: str
    every_s: float


def jobs(
    retune_interval_s: float, *, alerts: bool = False, retention: bool = False
) -> tuple[Job, ...]:
    """All jobs of the control plane; ``alerts`` only where somebody is to be told, ``retention``
    where records are not kept for ever.
    """
    told = (Job("alerts", 5.0),) if alerts else ()
    dropped = (Job("retention", 3600.0),) if retention else ()
    return (
        Job("cycle", retune_interval_s),
        Job("shadow", 1.0),
        Job("expire", 5.0),
        Job("rollup", 5.0),
        Job("judge_report", 60.0),
        Job("frontier", 20.0),
        Job("partitions", 3600.0),
        Job("forget_runs", 3600.0),
        *told,
        *dropped,
    )


class Runner:
    """Claims a due run, does it, writes down how it ended. Never raises: the next is due."""

    def __init__(
        self, connect: Connect, leader: Leader, plane: str, actions: Mapping[str, Action]
    ) -> None:
        self._connect = connect
        self._leader = leader
        self._plane = plane
        self._actions = actions

    def run(self, job: Job, now: datetime) -> bool:
        """Whether this control plane did the run that was due at ``now``."""
        if not self._leader.leads():
            return False
        try:
            with self._connect() as connection:
                connection.autocommit = True
                ahead = _ahead(connection)
                off = abs(ahead) > MOST_AHEAD
                at = due(now - ahead if off else now, job.every_s)
                run = {"job": job.name, "due_at": at, "plane": self._plane}
                if connection.execute(SQL["claim_run"], run).fetchone() is None:
                    return False
                ending = _off(ahead) if off else self._do(job, now)
                connection.execute(SQL["finish_run"], run | ending)
        except Exception:  # the scheduler outlives what its database does
            log.exception("job %s could not be claimed or finished", job.name)
            return False
        return True

    def _do(self, job: Job, now: datetime) -> dict[str, str | None]:
        try:
            said = self._actions[job.name](now)
        except Exception as error:
            log.exception("job %s failed", job.name)
            return {"status": "failed", "detail": f"{type(error).__name__}: {error}"[:1000]}
        return {"status": "done", "detail": None if said is None else str(said)[:1000]}


def _ahead(connection: Connection) -> timedelta:
    """Of the database's clock."""
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    theirs: datetime = row["now"]
    return datetime.now(UTC) - theirs


def _off(ahead: timedelta) -> dict[str, str | None]:
    """How a run ends whose times would be wrong: labels would expire, and proposals."""
    seconds = ahead.total_seconds()
    said = f"{abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} the database's"
    return {"status": "failed", "detail": f"this machine's clock is {said}: set it right"}


def due(now: datetime, every_s: float) -> datetime:
    """The instant at which the run that contains ``now`` was due: the same for every process.

    >>> due(datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC), 2.0).second
    4
    """
    return datetime.fromtimestamp(now.timestamp() // every_s * every_s, UTC)


def start(planned: tuple[Job, ...], runner: Runner, leader: Leader) -> BackgroundScheduler:
    """A running scheduler; ``shutdown`` ends it. Runs of one job never overlap."""
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    scheduler = BackgroundScheduler(timezone=UTC)
    options = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    scheduler.add_job(leader.leads, "interval", seconds=HEARTBEAT_S, id="heartbeat", **options)
    for job in planned:
        scheduler.add_job(
            lambda job=job: runner.run(job, datetime.now(UTC)),
            "interval",
            seconds=job.every_s,
            id=job.name,
            start_date=_middle(job.every_s),
            **options,
        )
    scheduler.start()
    return scheduler


def _middle(every_s: float) -> datetime:
    """The middle of the current slot or just after now: jitter then never skips or doubles one."""
    now = time.time()
    middle = now // every_s * every_s + every_s / 2
    return datetime.fromtimestamp(middle if middle > now else middle + every_s, UTC)


def ensure_partitions(connection: Connection) -> int:
    """Day partitions a week ahead; how many were made."""
    row = connection.execute("SELECT penstock_ensure_partitions() AS made").fetchone()
    return int(row["made"]) if row else 0


def forget_runs(connection: Connection, now: datetime) -> int:
    """Drop the claims of long ago, how many; and what data planes told, shipped and leased then."""
    for name in ("forget_plane_reports", "forget_shipments", "forget_leases"):
        connection.execute(SQL[name], {"before": now - REPORTS_KEPT})
    for name in ("forget_spool_sums", "forget_engine_sums"):
        connection.execute(SQL[name], {"before": now - REPORT_SUMS_KEPT})
    return connection.execute(SQL["forget_runs"], {"before": now - RUNS_KEPT}).rowcount


def actions_on(connect: Connect, **actions: Action) -> dict[str, Action]:
    """The actions of all jobs: those given, and the housekeeping that only needs the database."""

    def with_connection(work: Callable[[Connection, datetime], Any]) -> Action:
        def run(now: datetime) -> object:
            with connect() as connection:
                return work(connection, now)

        return run

    return actions | {
        "partitions": with_connection(lambda connection, _: ensure_partitions(connection)),
        "forget_runs": with_connection(forget_runs),
    }
