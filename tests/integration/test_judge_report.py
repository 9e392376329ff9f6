"""The judge's report on a store with a past: by the API, and by `penstock judge report`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import psycopg
import pytest
from fastapi.testclient import TestClient

from controlplane import api, keys
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from tests.command import Run
from tests.seeding import Past, seed

RESOLVED = """
INSERT INTO label_tasks
    (at, decision_id, probability, answers, waits_for_shadow, status, resolved_at)
SELECT at, decision_id, probability, '[]', false, 'labelled', now() FROM draws WHERE kind = 'audit'
"""
JUDGED_BY_A_MODEL = """
INSERT INTO attempts (at, decision_id, index, tier, model, purpose, prompt_tokens,
    completion_tokens, tokens_exact, cost_usd, latency_ms, finish, plane, spool_segment, "offset")
SELECT at, id, 0, 'judge', 'gpt-4o-mini', 'judge', 100, 1, true,
    CASE WHEN row_number() OVER (ORDER BY id) % 2 = 0 THEN 0.001 ELSE 0.002 END, 300, 'stop',
    'test', 0, 0
FROM decisions
"""
COUNTED = """
SELECT count(*), sum(o.value)::int FROM outcomes o
JOIN judge_scores j ON j.at = o.at AND j.decision_id = o.decision_id
WHERE o.key = 'local'
"""


def remember(database: Database, queries: int) -> tuple[int, int]:
    """A past whose draws are labelled; how many local answers are, and how many are right."""
    seed(database.url, Past(until=datetime.now(UTC), queries=queries, audit_rate=0.4))
    with psycopg.connect(database.url) as owner:
        owner.execute(RESOLVED)
        counted = owner.execute(COUNTED).fetchone()
    assert counted is not None
    return counted[0], counted[1]


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    store = partial(connect, database.url_for("penstock_controlplane"))
    with store() as connection:
        key = keys.create(connection, tenant="tests", scopes=["read"], name="reader").reveal()
    with Leader(database.url_for("penstock_controlplane")) as leader:
        parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings())
        with TestClient(api.build(parts), headers={"Authorization": f"Bearer {key}"}) as client:
            yield client


def test_it_counts_what_the_tables_hold(database: Database, client: TestClient, run: Run) -> None:
    labels, right = remember(database, 900)
    (told,) = client.get("/v1/judge/report").json()["reports"]
    assert (told["labels"], told["right"]) == (labels, right)
    assert told["accuracy"]["auroc"]["low"] > 0.8
    assert json.loads(run("judge", "report", "--json")) == [told]
    shown = run("judge", "report")
    assert f"judge logprob, segment default: {labels:,} labelled answers" in shown
    assert f"{told['accuracy']['auroc']['estimate']:.3f}" in shown
    assert "over time" in shown
    assert told["checks"]["kin"] == ["local"]
    assert "warning: it is local's own confidence" in shown
    assert "position bias: not applicable" in shown
    assert "cost of a verdict: 0 USD, as the policy states" in shown
    assert "null-answer canaries: none was asked yet" in shown


def test_a_judge_that_calls_a_model_shows_its_price_and_its_family(
    database: Database, client: TestClient
) -> None:
    remember(database, 60)
    with psycopg.connect(database.url) as owner:
        owner.execute(JUDGED_BY_A_MODEL)
    (told,) = client.get("/v1/judge/report").json()["reports"]
    cost = told["checks"]["cost"]
    assert cost["calls"] == 60
    usd = cost["usd"]
    assert usd["estimate"] == pytest.approx(0.0015)
    assert usd["low"] < 0.0015 < usd["high"]


def test_with_few_labels_it_says_how_many_more_it_needs(database: Database, run: Run) -> None:
    labels, right = remember(database, 60)
    wrong = labels - right
    assert f"{30 - wrong} more wrong ones until anything can be said" in run("judge", "report")
