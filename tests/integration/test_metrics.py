"""What Prometheus reads of the control plane, over real tables."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.types.json import Jsonb

from controlplane import api, keys, push
from controlplane.access import Access
from controlplane.alerts import AlertJob
from controlplane.audit.labels import Terms
from controlplane.connection import Connect
from controlplane.database import Database
from controlplane.events import record_event
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from controlplane.schedule import Job, Runner
from dataplane.contract.terms import CostCeiling
from tests.integration.test_alerts import Receiver, job, settings
from tests.policies import policy

LINE = re.compile(r'^penstock_[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? -?[0-9.e+-]+$')


@pytest.fixture
def store(store: Connect) -> Connect:
    with store() as connection:
        push.publish(connection, policy("cascade"))
    return store


@pytest.fixture
def client(store: Connect, leader: Leader) -> Iterator[TestClient]:
    parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings(), settings())
    with TestClient(api.build(parts), raise_server_exceptions=False) as client:
        with store() as connection:
            key = keys.create(connection, tenant="tests", scopes=["read"], name="prometheus")
        client.headers["Authorization"] = f"Bearer {key.reveal()}"
        yield client


def scraped(client: TestClient) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    told = [line for line in lines if not line.startswith("#")]
    assert all(LINE.match(line) for line in told)
    described = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {re.split(r"[{ ]", line)[0] for line in told} == described
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in told)}


def test_a_young_store(client: TestClient) -> None:
    found = scraped(client)
    assert found["penstock_leader"] == 1
    assert found["penstock_live_policy_version"] == 1
    assert 0 <= found["penstock_live_policy_age_seconds"] < 600
    assert found['penstock_target_quality{reference="ground_truth"}'] == 0.9
    assert found["penstock_quality_tolerance"] == 0.02
    assert found["penstock_data_planes_behind"] == 0
    assert not [name for name in found if "served_quality" in name or "alerts" in name]


def test_who_does_not_lead_says_so(database: Database, store: Connect, client: TestClient) -> None:
    client.app.state.parts.leader.resign()  # type: ignore[attr-defined]  # a FastAPI
    with Leader(database.url_for("penstock_controlplane")) as other:
        assert other.leads()
        assert scraped(client)["penstock_leader"] == 0


def test_jobs_and_events_are_counted(client: TestClient, store: Connect, leader: Leader) -> None:
    def fail(_: datetime) -> object:
        raise RuntimeError

    runner = Runner(store, leader, "test", {"cycle": lambda _: None, "shadow": fail})
    now = datetime.now(UTC)
    for seconds in range(3):
        runner.run(Job("cycle", 1.0), now + timedelta(seconds=seconds))
    runner.run(Job("shadow", 1.0), now)
    with store() as connection:
        for kind in ("alarm", "retune", "alarm"):
            record_event(connection, kind, {})
    found = scraped(client)
    assert found['penstock_job_runs{job="cycle",status="done"}'] == 3
    assert found['penstock_job_runs{job="shadow",status="failed"}'] == 1
    assert found['penstock_events_total{kind="alarm"}'] == 2
    assert found['penstock_events_total{kind="retune"}'] == 1


def test_alerts_wait_and_are_sent(client: TestClient, store: Connect, leader: Leader) -> None:
    each: AlertJob = job(store, leader, Receiver(200, 503))
    now = datetime.now(UTC)
    each.run(now)
    with store() as connection:
        for kind in ("alarm", "retune", "gate"):
            record_event(connection, kind, {"reason": kind})
    each.run(now)
    found = scraped(client)
    assert found["penstock_alerts_waiting"] == 1
    assert 0 <= found["penstock_alerts_oldest_waiting_seconds"] < 600
    assert found["penstock_alerts_sent_total"] == 1
    assert found["penstock_alerts_failures_total"] == 1
    assert found["penstock_alerts_given_up_total"] == 0


def test_the_last_estimates_are_shown_with_their_bounds(
    database: Database, client: TestClient
) -> None:
    with psycopg.connect(database.url) as owner:
        for at, window, quality in [
            ("2026-03-01 11:00", "run", 0.5),
            ("2026-03-01 11:00", "structural_policy", 0.5),
            ("2026-03-01 12:00", "run", 0.91),
            ("2026-03-01 12:00", "run:hard", None),
        ]:
            owner.execute(
                'INSERT INTO estimates (at, policy_version, "window", n, quality, lo, hi, detail)'
                " VALUES (%s, 1, %s, 10, %s, %s, %s, %s)",
                (at, window, quality, quality and quality - 0.1, quality and 0.95, Jsonb({})),
            )
    found = {name: value for name, value in scraped(client).items() if "served" in name}
    assert found == {
        'penstock_served_quality{window="run"}': 0.91,
        'penstock_served_quality_low{window="run"}': pytest.approx(0.81),
        'penstock_served_quality_high{window="run"}': 0.95,
    }


def test_stragglers_are_told(database: Database, store: Connect, client: TestClient) -> None:
    with store() as connection:
        push.publish(connection, policy("cascade", version=2, parent=1))
    answers = [
        ("swift", 1, "ack", "0"), ("swift", 2, "ack", "0"), ("slow", 1, "ack", "0"),
        ("picky", 1, "ack", "0"), ("picky", 2, "nack", "0"), ("gone", 1, "ack", "2 days"),
    ]  # fmt: skip
    with psycopg.connect(database.url) as owner:
        for plane, version, status, ago in answers:
            owner.execute(
                "INSERT INTO policy_acks (plane, seq, version, status, at)"
                " VALUES (%s, %s, %s, %s, now() - %s::interval)",
                (plane, version, version, status, ago),
            )
        owner.execute("UPDATE publications SET published_at = now() - interval '1 minute'")
    found = {name: value for name, value in scraped(client).items() if "data_planes" in name}
    assert found == {
        'penstock_data_planes{version="1",status="ack"}': 1,
        'penstock_data_planes{version="2",status="ack"}': 1,
        'penstock_data_planes{version="2",status="nack"}': 1,
        "penstock_data_planes_behind": 2,
    }


def test_a_ceiling_has_no_target(store: Connect, client: TestClient) -> None:
    ceiling = CostCeiling(ceiling_usd_per_query=0.002)
    with store() as connection:
        push.publish(connection, policy("cascade", version=2, parent=1, objective=ceiling))
    found = scraped(client)
    assert found["penstock_live_policy_version"] == 2
    assert not [name for name in found if "target" in name or "tolerance" in name]
