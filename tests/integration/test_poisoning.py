"""Feedback never moves a quality claim: not an estimate, a certificate, a label, a policy.

Each tenth query has votes of 20 keys, all or some of them malicious, through the data plane's own
records; the same traffic without a vote leaves the same tables, to the last bit.
"""

import random
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from controlplane import push, registry
from controlplane.connection import connect
from controlplane.cycle import Cycle, School
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.learner import Learner
from controlplane.learn.settings import DrawRates, LearnerSettings
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, QualityTarget, ShadowTerms, WrongAcceptances
from dataplane.feedback import Feedback, outcome
from dataplane.strategies import Drawn
from tests.conftest import Databases
from tests.policies import policy
from tests.traffic import PostgresTraffic, query

NOW = datetime(2026, 3, 2, tzinfo=UTC)
QUERIES, KEYS = 240, 20
SLOW = pytest.mark.slow
DRAWN = [Drawn("audit", 0.5), Drawn("shadow", 0.5, "cloud")]
RATES = DrawRates(0.5, 0.5)
SETTINGS = LearnerSettings(cold=RATES, steady=RATES, min_decisions=50, support=20.0)
CLAIMS = (
    'SELECT policy_version, "window", n, quality, lo, hi, detail FROM estimates ORDER BY id',
    """SELECT name, CASE name WHEN 'trust' THEN (body::jsonb -> 'trials')::text ELSE body END
    FROM learner_state ORDER BY name""",  # how far a gate has heard is a time of the database
    "SELECT decision_id, key, value, source, basis FROM labels ORDER BY decision_id, key",
    "SELECT version, digest FROM policies ORDER BY version",
    "SELECT kind, body FROM events ORDER BY id",
)


def start() -> PolicyDocument:
    asked = QualityTarget(target_quality=0.8, wrong_acceptances=WrongAcceptances(limit=0.2))
    rates: dict[str, Any] = {"audit": AuditTerms(rate=0.5), "shadow": ShadowTerms(rate=0.5)}
    return policy("always_cloud", lambda_=0.0, objective=asked, **rates)


def fresh() -> Learner:
    return Learner(("local", "cloud"), SETTINGS)


def claims(database: Database, malicious: float | None) -> list[list[tuple[Any, ...]]]:
    """All that is claimed after this traffic, and after these keys' votes on it."""
    store = partial(connect, database.url_for("penstock_controlplane"))
    traffic, rng = PostgresTraffic(database.url), random.Random(3)
    with store() as connection:
        push.publish(connection, start())
    school = School(fresh, partial(Learner.from_json, settings=SETTINGS))
    with Leader(database.url_for("penstock_controlplane")) as leader:
        assert leader.leads()
        for block in range(0, QUERIES, 60):
            cycle, labels = Cycle(store, leader, school), []
            for number in range(block, block + 60):
                right = rng.random() < 0.8
                seen = query(number, answered=("cloud",))
                drawn = number % 2 == 0
                traffic.complete(seen, DRAWN if drawn else ())
                if drawn:
                    labels.append((seen, {"local": float(right), "cloud": 1.0}, -rng.random()))
                if malicious is not None and number % 10 == 0:
                    vote(traffic, number, malicious)
            cycle.run(NOW + timedelta(minutes=block))
            for seen, told, score in labels:
                traffic.resolve(seen, told, score)
            cycle.run(NOW + timedelta(minutes=block + 30))
    with store() as connection:
        assert registry.live(connection).version >= 1
    with psycopg.connect(database.url) as owner:
        return [owner.execute(statement.encode()).fetchall() for statement in CLAIMS]


def vote(traffic: PostgresTraffic, number: int, malicious: float) -> None:
    """The first keys lie: the served answer was right, and they say it was not."""
    seen = query(number, answered=("cloud",))
    for key in range(KEYS):
        value = 0.0 if key < malicious * KEYS else 1.0
        said = Feedback.model_validate({"decision_id": seen.decision_id, "value": value})
        traffic.shipping.ship(outcome(said, f"key-{key}", NOW))


@pytest.mark.parametrize(
    "malicious", [pytest.param(0.05, marks=SLOW), 0.2, pytest.param(1.0, marks=SLOW)]
)
def test_votes_leave_every_claim_as_it_was_to_the_last_bit(
    databases: Databases, migrated: str, malicious: float
) -> None:
    with databases(migrated) as quiet, databases(migrated) as poisoned:
        expected, found = claims(quiet, None), claims(poisoned, malicious)
        with psycopg.connect(poisoned.url) as owner:
            votes = owner.execute("SELECT count(*) FROM outcomes WHERE source = 'feedback'")
            assert votes.fetchall() == [(QUERIES // 10 * KEYS,)]
    assert expected[0], "nothing is claimed, so nothing could move"
    assert found == expected
