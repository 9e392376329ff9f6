"""Millions of plausible decisions in a scratch Postgres, a day's partitions at a time.

All that they name is SIMULATED. The server is an embedded one of its own, under ``--keep DIR`` or a
folder that is removed in the end.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psycopg
from rich.console import Console
from rich.progress import Progress, TaskID

from controlplane.audit.judge_report import Graded, report
from controlplane.connection import connect
from controlplane.database import Database, embedded, upgrade
from controlplane.frontier import FrontierJob
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from controlplane.rollups import add
from controlplane.sql import parse
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, LinearEstimator, QualityTarget, TierTerms
from tests.policies import policy

SQL = parse(Path(__file__).with_suffix(".sql").read_text("utf-8"))
VOTES = import_module("migrations.versions.0016_priced_votes")
SIZE = "SELECT pg_size_pretty(pg_database_size(current_database()))"
DAY = timedelta(days=1)
RECORDS = (
    "decisions", "steps", "attempts", "judge_scores", "completions", "draws", "outcomes", "texts",
)  # fmt: skip
BESIDE = ("label_tasks", "labels", "shadow_tasks", "shipments")
AFTER = (
    "estimates", "alarms", "acknowledgements", "job_runs", "judge_reports", "watermarks",
    "plane_reports",
)  # fmt: skip
VERSIONS_A_DAY = 8
WEIGHTS = 1_500  # of an estimator, as of a prior that was taught
UNLABELLED = timedelta(hours=6)
ROLLUP_BATCH = 200_000
QUICK = {  # a scratch server may lose its data, and loads a lot of it
    "fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0",
    "max_wal_size": "4GB", "maintenance_work_mem": "512MB", "temp_buffers": "256MB",
}  # fmt: skip
LOCAL = TierTerms(name="local", input_usd_per_mtok=0.05, output_usd_per_mtok=0.05)
CLOUD = TierTerms(name="cloud", input_usd_per_mtok=2.5, output_usd_per_mtok=10.0)


@dataclass(frozen=True, slots=True)
class Span:
    """How many decisions, evenly over which days."""

    decisions: int
    days: int
    until: datetime

    @property
    def begin(self) -> datetime:
        """When the first one came."""
        return self.until - self.days * DAY

    @property
    def step_s(self) -> float:
        """Between two decisions."""
        return self.days * DAY.total_seconds() / self.decisions

    def parts(self) -> Iterator[dict[str, Any]]:
        """Each day's share of them, as the statements take it."""
        since, first = self.begin, 0
        whole = {
            "begin": self.begin, "versions": self.days * VERSIONS_A_DAY, "step_s": self.step_s,
            "span_s": self.days * DAY.total_seconds(), "labelled": self.until - UNLABELLED,
        }  # fmt: skip
        while first < self.decisions:
            midnight = (since + DAY).replace(hour=0, minute=0, second=0, microsecond=0)
            upto = round((min(midnight, self.until) - self.begin).total_seconds() / self.step_s)
            last = min(upto, self.decisions) - 1
            start = self.begin + timedelta(seconds=first * self.step_s)
            if last >= first:
                yield whole | {"since": start, "first": first, "last": last, "day": since.date()}
            since, first = midnight, last + 1


def seed(database: Database, span: Span, progress: Progress) -> None:
    """Fill a server that is empty, and add its rollups."""
    upgrade(database.url)
    task = progress.add_task("decisions", total=span.decisions)
    with psycopg.connect(database.url) as owner:
        owner.execute("SELECT setseed(0.5)")
        _publish(owner, span)
        owner.commit()
        for part in span.parts():
            _fill(owner, part)
            owner.commit()
            progress.update(task, completed=part["last"] + 1)
        whole = {"begin": span.begin, "until": span.until, "body": _report()}
        for name in AFTER:
            owner.execute(SQL[name].encode(), whole)
        owner.execute(VOTES.OF_BEFORE)  # fills of tables without a trigger do not wake it
        owner.commit()
        owner.autocommit = True
        owner.execute("VACUUM ANALYZE")
    _roll_up(database, progress)
    _frontier(database, span)


def _fill(owner: psycopg.Connection, part: dict[str, Any]) -> None:
    """Tables without an index are filled; each is then given its indexes as it is attached."""
    owner.execute(SQL["drawn"].encode(), part)
    day: datetime = part["day"]
    for table in RECORDS:
        child = f"{table}_p{day:%Y%m%d}"
        owner.execute(f"DROP TABLE IF EXISTS {child}".encode())
        owner.execute(
            f"CREATE TABLE {child} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)".encode()
        )
        owner.execute(SQL[table].format(child=child).encode(), part)
        owner.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {child}"
            f" FOR VALUES FROM ('{day}') TO ('{day + DAY}')".encode()
        )
    for name in BESIDE:
        owner.execute(SQL[name].encode(), part)


def _publish(owner: psycopg.Connection, span: Span) -> None:
    versions = span.days * VERSIONS_A_DAY
    for version in range(1, versions + 1):
        document = _policy(version, span)
        at = span.begin + (version - 1) * DAY / VERSIONS_A_DAY
        owner.execute(
            "INSERT INTO policies (version, parent, kind, author, reason, digest, document,"
            " created_at) VALUES (%s, %s, 'retune', 'learner', %s, %s, %s, %s)",
            (
                version, document.parent, document.reason, document.digest(),
                document.to_json().decode(), at,
            ),
        )  # fmt: skip
        owner.execute(
            "INSERT INTO publications (seq, parent, in_force, reason, published_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            (version, document.parent, json.dumps([{"version": version, "share": 1.0}]),
             document.reason, at),
        )  # fmt: skip


def _policy(version: int, span: Span) -> PolicyDocument:
    chance = np.random.default_rng(version)
    weights = LinearEstimator(
        buckets=tuple(range(WEIGHTS)), weights=tuple(chance.normal(size=WEIGHTS).tolist())
    )
    plain = policy(version=version)
    (segment,) = plain.segments
    return policy(
        version=version, parent=version - 1 or None, author="learner", tiers=(LOCAL, CLOUD),
        reason="SIMULATED: the judge cutoff follows its labels", estimators=(weights, weights),
        segments=tuple(segment.replaced(name=name) for name in ("default", "code", "support")),
        lambda_=0.2, objective=QualityTarget(target_quality=0.9),
        issued_at=span.begin, audit=AuditTerms(rate=0.01, label_price_usd=0.002),
    )  # fmt: skip


def _report() -> str:
    chance = np.random.default_rng(1)
    right = chance.random(600) < 0.75
    raw = -np.abs(np.where(right, 0.15, 0.9) + 0.3 * chance.normal(size=600))
    expected = 1 / (1 + np.exp(-2.2 - 4 * raw))
    at = np.arange(600, dtype=np.float64) * 60
    graded = Graded(at, raw.astype(np.float64), expected, right, np.full(600, 0.01))
    body = report("logprob", "default", graded, -0.45).to_json()
    return json.dumps(body | {"gate": {"standing": "open", "words": "SIMULATED"}})


def _roll_up(database: Database, progress: Progress) -> None:
    """As the control plane's job does, in larger steps."""
    with connect(database.url_for("penstock_controlplane"), statement_timeout=0) as connection:
        (row,) = connection.execute("SELECT sum(last_offset - first_offset + 1) FROM shipments")
        task: TaskID = progress.add_task("rollups", total=float(row["sum"] or 0))
        while added := add(connection, ROLLUP_BATCH):
            connection.commit()
            progress.advance(task, added)
    with psycopg.connect(database.url, autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")


def _frontier(database: Database, span: Span) -> None:
    """As the control plane's job does, of the last queries."""
    url = database.url_for("penstock_controlplane")
    with Leader(url) as leader:
        assert leader.leads()
        FrontierJob(partial(connect, url), leader, LearnerSettings()).compute(span.until)


@contextmanager
def scratch(span: Span, keep: Path | None) -> Iterator[Database]:
    """A server with those decisions; one that is kept and was filled before is taken as it is."""
    with TemporaryDirectory(prefix="penstock-seeded-") as folder:
        directory = keep or Path(folder)
        filled = directory / "filled"
        with embedded(directory, QUICK) as database:
            if not filled.exists():
                with Progress(console=Console(stderr=True)) as progress:
                    seed(database, span, progress)
                filled.write_text(f"{span}\n")
            yield database


def parser(name: str, described: str | None) -> argparse.ArgumentParser:
    """``--decisions``, ``--days`` and ``--keep``."""
    made = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{name}", description=described)
    made.add_argument(
        "--decisions", type=int, default=5_000_000,
        help="how many; 5,000,000 take some 20 minutes and 11 GB",
    )  # fmt: skip
    made.add_argument("--days", type=int, default=30, help="over how many days until now")
    made.add_argument("--keep", type=Path, help="folder of the server, kept for the next time")
    return made


def span(given: argparse.Namespace) -> Span:
    """The decisions that were asked for, until now."""
    return Span(given.decisions, given.days, datetime.now(UTC))


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, and say where it is; 0 once done."""
    given = parser("seed_decisions", __doc__).parse_args(arguments)
    with scratch(span(given), given.keep) as database, psycopg.connect(database.url) as owner:
        (size,) = owner.execute(SIZE).fetchone() or ("?",)
    sys.stderr.write(f"{given.decisions:,} decisions, {size}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
