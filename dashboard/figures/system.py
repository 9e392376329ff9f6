"""Figures of the system page: what waits, what was lost, who works, and what of that is wrong."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import pandas as pd

from dashboard.figures import fleet
from dashboard.figures.fleet import Plane
from dashboard.figures.reports import reports
from dashboard.store import Store
from dashboard.units import age
from migrations import amiss

Row: TypeAlias = Mapping[str, Any]

SILENT = timedelta(minutes=1)  # a data plane tells of itself every ten seconds
OLD_SPOOL_S = 30.0
SLOW_SUMS = timedelta(minutes=1)
LATE_JOBS = timedelta(minutes=1)  # the leader has jobs by the second
FEW_DAYS = timedelta(days=3)  # of partitions ahead


@dataclass(frozen=True, slots=True)
class System:
    """All that the page shows, at ``now``; ``spools``: at, plane, records, oldest_s."""

    now: datetime
    planes: Sequence[Row]
    tiers: Sequence[Row]
    arrivals: Sequence[Row]
    staged: int
    orphans: Row
    jobs: Sequence[Row]
    failed_jobs: Mapping[str, int]
    revision: str
    partitions: Sequence[Row]
    fleet: Sequence[Plane]
    webhook: Row | None
    spools: pd.DataFrame

    def total(self, name: str) -> int:
        """A count over all data planes that were heard of."""
        return sum(row[name] or 0 for row in self.planes)

    @property
    def leader(self) -> Row | None:
        """The last run of any job: who did it, and when."""
        return max(self.jobs, key=lambda job: job["started_at"], default=None)

    @property
    def unsummed(self) -> int:
        """Records that have arrived and are in no sum yet."""
        return sum(row["unsummed"] for row in self.arrivals)

    @property
    def last_arrival(self) -> datetime | None:
        """When anything arrived last."""
        return max((row["last"] for row in self.arrivals), default=None)

    @property
    def late(self) -> Sequence[Plane]:
        """Data planes that have not taken the newest publication."""
        return [plane for plane in self.fleet if plane.late]


def read(store: Store, period: timedelta) -> System:
    """All figures; raises ``StoreUnavailable`` through its snapshot."""
    now = store.row("now")["now"]
    return System(
        now=now,
        planes=store.rows("planes_now", now=now),
        tiers=store.rows("tiers_now", now=now),
        arrivals=store.rows("arrivals"),
        staged=store.row("staged")["records"],
        orphans=store.row("orphans"),
        jobs=store.rows("jobs"),
        failed_jobs={row["job"]: row["failed"] for row in store.rows("failed_jobs", now=now)},
        revision=store.row("revision")["revision"] or "",
        partitions=store.rows("partitions"),
        fleet=fleet.read(store),
        webhook=store.row_or_none("webhook"),
        spools=pd.DataFrame(
            reports(store, "spools", now, period),
            columns=["at", "plane", "records", "oldest_s"],
        ),
    )


def schema(store: Store) -> str | None:
    """What is wrong with the schema, in words with the remedy; None where this build knows it."""
    wrong = amiss(store.row("revision")["revision"] or "0000")
    return wrong and ": ".join(wrong)


def losses(system: System) -> list[str]:
    """What is lost, in words: records that no table will ever hold."""
    counted = (
        ("dropped", "dropped: the spool was full, or its disk failed"),
        ("damaged_segments", "damaged spool segments set aside: what was torn off is lost"),
    )
    return [f"{n:,} {said}" for name, said in counted if (n := system.total(name))]


def troubles(system: System) -> list[str]:
    """What wants somebody's eye though nothing is lost yet, in words with the remedy."""
    return [
        *_of_planes(system), *_of_tiers(system), *_of_jobs(system), *_of_tables(system),
        *_of_webhook(system),
    ]  # fmt: skip


def _of_planes(system: System) -> Iterator[str]:
    if n := system.total("quarantined"):
        yield f"{n:,} records were refused by the database: read quarantine.jsonl in their spool"
    for row in system.planes:
        silent = system.now - row["at"]
        if silent > SILENT:
            yield f"data plane {row['plane']} was not heard of for {age(silent)}"
        elif row["last_error"]:
            yield f"data plane {row['plane']} cannot ship: {row['last_error']}"
        elif row["oldest_pending_s"] > OLD_SPOOL_S:
            waited = age(timedelta(seconds=row["oldest_pending_s"]))
            yield f"records of data plane {row['plane']} wait for the database for {waited}"
    for plane in system.late:
        yield f"data plane {plane.plane} has not taken the newest policy: see its answer below"


def _of_tiers(system: System) -> Iterator[str]:
    for row in system.tiers:
        if row["unavailable"] and system.now - row["at"] <= SILENT:
            yield f"tier {row['tier']} at data plane {row['plane']}: {row['unavailable']}"


def _of_jobs(system: System) -> Iterator[str]:
    leader = system.leader
    if leader is None:
        yield "no control plane has run a job yet: start one by penstock up"
    elif system.now - leader["started_at"] > LATE_JOBS:
        idle = age(system.now - leader["started_at"])
        yield f"no control plane has run a job for {idle}: start one by penstock control"
    for job in system.jobs:
        if job["status"] == "failed":
            yield f"the last run of job {job['job']} failed: {job['detail']}"


def _of_tables(system: System) -> Iterator[str]:
    since = min((r["waiting_since"] for r in system.arrivals if r["waiting_since"]), default=None)
    if since is not None and system.now - since > SLOW_SUMS:
        yield (
            f"the sums lack {system.unsummed:,} records, since {age(system.now - since)}: the job "
            "rollup catches up, or fails"
        )
    if system.partitions and (last := _last_day(system)) < (system.now + FEW_DAYS).date():
        yield f"partitions end on {last}: the job partitions makes them a week ahead"


def _last_day(system: System) -> date:
    days = [row["last"] for row in system.partitions]
    return min((day for day in days if day is not None), default=system.now.date())


def _of_webhook(system: System) -> Iterator[str]:
    told = system.webhook
    if told and told["since"]:
        yield (
            f"the alerts' webhook took nothing in {told['attempts']} attempts since "
            f"{age(system.now - told['since'])}"
        )
    if told and told["given_up"]:
        yield f"{told['given_up']:,} alerts were given up: the webhook refused them"
