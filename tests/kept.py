"""What the control plane keeps of a seeded past, by its own jobs: reports, a frontier, events."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import psycopg
from psycopg.types.json import Jsonb

from controlplane import push, states
from controlplane.audit.trial import Trial
from controlplane.audit.trust import Key, Trust
from controlplane.connection import Connect, Connection, connect
from controlplane.cycle import LEARNER, OBSERVED, TRUST
from controlplane.database import Database
from controlplane.frontier import FrontierJob
from controlplane.judge_reports import ReportJob
from controlplane.leader import Leader
from controlplane.learn.learner import Learner
from controlplane.learn.settings import LearnerSettings
from controlplane.observe import PostgresLog
from controlplane.registry import live
from controlplane.stats.gate import Gate
from tests.seeding import Past, earlier, seed

HOUR = timedelta(hours=1)
RESOLVED = """
INSERT INTO label_tasks
    (at, decision_id, probability, answers, waits_for_shadow, status, resolved_at)
SELECT at, decision_id, probability, '[]', false, 'labelled', now() FROM draws WHERE kind = 'audit'
"""
READ = """
INSERT INTO watermarks (plane, segment, "offset") VALUES ('seeded', 1, 100000000)
"""
EVENTS = {
    "gate": {
        "judge": "logprob", "segment": "default", "standing": "open",
        "reason": "judge logprob decides in segment default from now on",
    },
    "drift": {
        "status": "named", "causes": ["price"],
        "reason": "calls of cloud are charged 1.5 times what they were: *state* the new price",
    },
}  # fmt: skip

TABLES = """
INSERT INTO frontier_points (at, segment, kind, name, queries, since, until, quality, quality_lo,
    quality_hi, usd, usd_lo, usd_hi, labels, method)
SELECT at, segment, 'category', 'λ ' || price, queries, since, until, quality - price / 4,
    quality_lo - price / 4, quality_hi - price / 4, usd * (1 - price), usd_lo * (1 - price),
    usd_hi * (1 - price), labels, 'snips'
FROM frontier_points, (VALUES (0.05::float8), (0.1), (0.2), (0.4)) AS asked (price)
WHERE kind = 'served'
"""


def remember(database: Database, past: Past, hours: int = 4) -> None:
    """A past with an earlier one an hour before, and what jobs made of it ``hours`` times."""
    seed(database.url, past)
    earlier(
        database.url,
        replace(past, until=past.until - HOUR, queries=past.queries * 2 // 3, seed=past.seed + 1),
    )
    with psycopg.connect(database.url) as owner:
        owner.execute(RESOLVED)
        owner.execute(READ)
        for kind, body in EVENTS.items():
            owner.execute(
                "INSERT INTO events (at, kind, body) VALUES (%s, %s, %s)",
                (past.until - HOUR / 3, kind, Jsonb(body)),
            )
    store = partial(connect, database.url_for("penstock_controlplane"))
    with store() as connection:
        _retune(connection)
        _open_gate(connection, past.until - HOUR / 3)
        _teach(connection)
    _run(store, database, [past.until - HOUR * back for back in reversed(range(hours))])


def _retune(connection: Connection) -> None:
    """To a cutoff that lies among the scores."""
    policy = live(connection)
    segments = tuple(each.replaced(lambda_=0.3) for each in policy.segments)
    said = {"version": policy.version + 1, "parent": policy.version, "segments": segments}
    push.publish(connection, policy.model_copy(update=said).rederived())


def _open_gate(connection: Connection, since: datetime) -> None:
    trust = Trust(lambda _: None)
    trust.trials[Key("logprob", "default")] = Trial(Gate("open"), since, pairs=321)
    states.save(connection, TRUST, trust.to_json())


def _teach(connection: Connection) -> None:
    """A learner that observed all that was labelled."""
    learner = Learner(("local", "cloud"))
    learner.follow(live(connection))
    labelled = sorted(
        PostgresLog(connection).latest(10_000), key=lambda each: each.observation.decision_id
    )
    learner.observe([each.observation for each in labelled])
    learner.learn(labelled)
    states.save(connection, LEARNER, learner.to_json())


def _run(store: Connect, database: Database, moments: Iterable[datetime]) -> None:
    with Leader(database.url_for("penstock_controlplane"), idle_session_ms=600_000) as leader:
        assert leader.leads()
        reports = ReportJob(store, leader)
        frontier = FrontierJob(store, leader, LearnerSettings())
        for observed, moment in enumerate(moments, start=1_000):
            with store() as connection:
                states.save_value(connection, OBSERVED, observed)
            reports.run(moment)
            frontier.run(moment)


def tabled(database: Database) -> None:
    """The per-category mean beside each frontier, as if requests had named categories."""
    with psycopg.connect(database.url) as owner:
        owner.execute(TABLES)
