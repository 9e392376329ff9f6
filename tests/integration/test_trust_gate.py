"""The trust gate on real tables: what it was told moves with the watermark, its word is pushed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from controlplane import api, gates, keys, objective, push, registry, states
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.audit.trial import Trial
from controlplane.audit.trust import Key, Trust
from controlplane.connection import Connect, Connection
from controlplane.cycle import CERTIFIER, FROZEN, TRUST, Cycle
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from controlplane.stats.gate import Gate
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, ShadowTerms, TrustTerms
from dataplane.strategies import Drawn
from tests.command import Run, penstock
from tests.policies import SURE, policy
from tests.scripted_learner import scripted
from tests.traffic import PostgresTraffic, query
from tests.unit.dataplane.policies import CERTIFIED

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PAIRS = 60
RATES = {"audit": AuditTerms(rate=0.2), "shadow": ShadowTerms(rate=0.2)}
DRAWN = [Drawn("audit", 0.2), Drawn("shadow", 0.2, "local")]


def closed(**fields: Any) -> PolicyDocument:
    live = policy("route", lambda_=0.4, **RATES, **fields)
    return live.replaced(segments=(live.segments[0].replaced(trust="closed", trial_lambda=0.4),))


def publish(store: Connect, document: PolicyDocument) -> None:
    with store() as connection:
        push.publish(connection, document)


def live(store: Connect) -> PolicyDocument:
    with store() as connection:
        return registry.live(connection)


def gate_events(store: Connect) -> list[dict[str, Any]]:
    with store() as connection:
        rows = connection.execute("SELECT body FROM events WHERE kind = 'gate' ORDER BY id")
        return [row["body"] for row in rows]


def pairs(cycle: Cycle, traffic: PostgresTraffic, local: float, first: int = 0) -> None:
    """The judge would have kept each local answer; routing asked the cloud, which was right."""
    asked = [query(first + at, answered=("cloud",)) for at in range(PAIRS)]
    for seen in asked:
        traffic.complete(seen, DRAWN)
    cycle.run(NOW)
    for seen in reversed(asked):
        traffic.resolve(seen, {"local": local, "cloud": 1.0}, score=SURE)


def test_a_judge_earns_its_say_and_the_opening_is_published(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    publish(store, closed())
    cycle = Cycle(store, leader, scripted())
    pairs(cycle, traffic, local=1.0)
    cycle.run(NOW)
    now = live(store)
    assert (now.version, now.parent, now.kind) == (2, 1, "proposal")
    assert (now.segments[0].trust, now.segments[0].mode) == ("open", "cascade_route")
    cycle.run(NOW)
    assert [each["standing"] for each in gate_events(store)] == ["earned", "open"]
    assert gate_events(store)[0]["pairs"] < PAIRS
    assert gate_events(store)[0]["reason"] == now.reason


def test_a_judge_that_breaks_loses_its_say_unless_policies_are_frozen(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    publish(store, policy("cascade_route", lambda_=0.2, **RATES))
    cycle = Cycle(store, leader, scripted())
    pairs(cycle, traffic, local=0.0)
    with store() as connection:
        states.save_value(connection, FROZEN, value=True)
    cycle.run(NOW)
    assert live(store).version == 1
    with store() as connection:
        states.save_value(connection, FROZEN, value=False)
    cycle.run(NOW)
    now = live(store)
    assert (now.version, now.kind) == (2, "retune")
    assert (now.segments[0].trust, now.segments[0].mode) == ("closed", "always_cloud")
    assert "lost its say" in now.reason
    assert [each["standing"] for each in gate_events(store)] == ["closed"]


class DiedError(Exception):
    """The process died here."""


def test_a_crash_moves_the_gate_with_the_watermark_or_not_at_all(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    @contextmanager
    def dying() -> Iterator[Connection]:
        with store() as connection:
            yield connection
            raise DiedError

    def told() -> list[Any]:
        tables = ("watermarks", "learner_state", "events", "publications", "label_tasks")
        with store() as connection:
            return [
                connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2".encode()).fetchall()
                for t in tables
            ]

    publish(store, closed())
    survivor = Cycle(store, leader, scripted())
    pairs(survivor, traffic, local=1.0)
    before = told()
    with pytest.raises(DiedError):
        Cycle(dying, leader, scripted()).run(NOW)
    assert told() == before
    survivor.run(NOW)
    assert live(store).segments[0].trust == "open"


def earned(store: Connect, **fields: Any) -> None:
    """A live policy that wants to be asked, and a gate that earned its opening."""
    publish(store, closed(trust=TrustTerms(opens="when_accepted"), **fields))
    trust = Trust(lambda _: None)
    trust.trials[Key("logprob", "default")] = Trial(Gate("earned"))
    with store() as connection:
        states.save(connection, TRUST, trust.to_json())


@pytest.fixture
def client(store: Connect, leader: Leader) -> Iterator[TestClient]:
    with store() as connection:
        key = keys.create(connection, tenant="t", scopes=["admin", "read"], name="k").reveal()
    parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings())
    with TestClient(api.build(parts), headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def test_an_operator_accepts_an_opening_by_the_api(store: Connect, client: TestClient) -> None:
    earned(store)
    (report,) = client.get("/v1/judge/report").json()["reports"]
    assert report["gate"]["standing"] == "earned"
    assert report["gate"]["waits_for_operator"]
    assert client.post("/v1/judge/accept", json={}).json()["version"] == 2
    assert (live(store).author, live(store).segments[0].trust) == ("operator", "open")
    (report,) = client.get("/v1/judge/report").json()["reports"]
    assert report["gate"]["standing"] == "open"


@pytest.mark.parametrize(
    ("segment", "why"), [("default", "it is closed"), ("other", "there is no such segment")]
)
def test_what_was_not_earned_is_not_accepted(
    store: Connect, client: TestClient, segment: str, why: str
) -> None:
    publish(store, closed(trust=TrustTerms(opens="when_accepted")))
    refused = client.post("/v1/judge/accept", json={"segment": segment})
    assert refused.status_code == 409
    assert why in refused.json()["error"]["message"]
    assert live(store).version == 1


def test_an_opening_that_no_certificate_lets_through_is_told_and_not_accepted(
    store: Connect, client: TestClient
) -> None:
    earned(store)
    with store() as connection:
        objective.pursue(connection, CERTIFIED, "key k", NOW)
        told = gates.stand(connection, registry.live(connection))["default"]
    assert not told.waits
    assert told.words.endswith("it opens once the policy may accept an answer")
    response = client.post("/v1/judge/accept", json={})
    assert response.status_code == 409
    assert "it is earned, but the live policy may accept no answer yet" in response.text


def test_states_are_written_where_they_changed(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    def written() -> dict[str, str]:
        with store() as connection:
            rows = connection.execute("SELECT name, updated_at::text AS at FROM learner_state")
            return {row["name"]: row["at"] for row in rows}

    publish(store, closed())
    cycle = Cycle(store, leader, scripted())
    pairs(cycle, traffic, local=1.0)
    before = written()
    traffic.complete(query(PAIRS, answered=("cloud",)))
    cycle.run(NOW)  # the gate hears, the certifier sees
    after = written()
    cycle.run(NOW)  # the opening is agreed to
    opened = written()
    cycle.run(NOW)
    changed = {name for name in before if after[name] != before[name]}
    assert {TRUST, CERTIFIER} <= changed
    assert opened[TRUST] != after[TRUST]
    assert written() == opened


def test_by_the_command(
    database: Database,
    store: Connect,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run: Run = penstock(database, monkeypatch, capsys)
    earned(store)
    assert "open it by `penstock judge accept --segment default`" in run("judge", "report")
    assert "version 2: judge logprob earned its say" in run("judge", "accept")
    assert "its gate open" in run("judge", "report")
