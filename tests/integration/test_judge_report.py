"""The judge's report on a store with a past: by the API, and by `penstock judge report`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.rows import dict_row

from controlplane import api, keys
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.judge_reports import KEPT, ReportJob
from controlplane.leader import Leader, NotLeaderError
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


def test_the_job_keeps_the_last_report_of_each_hour_where_the_dashboard_reads_it(
    database: Database, client: TestClient
) -> None:
    remember(database, 900)
    store = partial(connect, database.url_for("penstock_controlplane"))
    hour = datetime(2026, 11, 2, 10, tzinfo=UTC)
    with Leader(database.url_for("penstock_controlplane")) as leader:
        assert leader.leads()
        job = ReportJob(store, leader)
        for minutes in (1, 59, 60, 58):  # the last is one that was held up: it changes nothing
            job.run(hour + timedelta(minutes=minutes))
    (told,) = client.get("/v1/judge/report").json()["reports"]
    known = told["accuracy"]
    kept = f"'{hour + timedelta(minutes=60)}'"
    with psycopg.connect(database.url_for("penstock_dashboard"), row_factory=dict_row) as dashboard:
        rows = dashboard.execute("SELECT * FROM v_judge_reports ORDER BY at").fetchall()
        bins, roc, periods = (
            dashboard.execute(
                f"SELECT * FROM v_judge_{name} WHERE at = {kept} ORDER BY {key}".encode()
            ).fetchall()
            for name, key in {"calibration": "bin", "roc": "cutoff", "periods": "since"}.items()
        )
    assert [row["at"] for row in rows] == [hour + timedelta(minutes=at) for at in (59, 60)]
    for name, interval in {
        "auroc": known["auroc"],
        "right_accepted": known["confusion"]["tpr"],
        "wrong_accepted": known["confusion"]["fpr"],
        "calibration_error": known["calibration"]["error"],
        "verdict_usd": told["checks"]["cost"]["usd"],
    }.items():
        shown = [rows[-1][f"{name}{end}"] for end in ("", "_lo", "_hi")]
        assert shown == [interval["estimate"], interval["low"], interval["high"]]
    assert (rows[-1]["labels"], rows[-1]["right_labels"]) == (told["labels"], told["right"])
    assert rows[-1]["gate_words"] == told["gate"]["words"]
    assert [row["predicted"] for row in bins] == [
        each["predicted"] for each in known["calibration"]["bins"]
    ]
    assert {(row["wrong_accepted"], row["right_accepted"]) for row in roc} == {
        (each["fpr"], each["tpr"]) for each in known["roc"]
    }
    assert [row["auroc"] for row in periods] == [
        each["auroc"]["estimate"] for each in known["periods"]
    ]


def test_a_report_of_few_labels_is_kept_too_and_old_ones_go(database: Database) -> None:
    labels, _ = remember(database, 60)
    store = partial(connect, database.url_for("penstock_controlplane"))
    now = datetime(2026, 11, 2, 10, tzinfo=UTC)
    with Leader(database.url_for("penstock_controlplane")) as leader:
        assert leader.leads()
        job = ReportJob(store, leader)
        job.run(now - KEPT - timedelta(hours=1))
        job.run(now)
    with psycopg.connect(database.url_for("penstock_dashboard")) as dashboard:
        rows = dashboard.execute(
            "SELECT labels, auroc, labels_missing > 0 FROM v_judge_reports"
        ).fetchall()
        assert dashboard.execute("SELECT count(*) FROM v_judge_roc").fetchone() == (0,)
    assert rows == [(labels, None, True)]


def test_who_does_not_lead_keeps_none(database: Database) -> None:
    remember(database, 60)
    store = partial(connect, database.url_for("penstock_controlplane"))
    with pytest.raises(NotLeaderError):
        ReportJob(store, Leader(database.url_for("penstock_controlplane"))).run(datetime.now(UTC))
    with psycopg.connect(database.url) as owner:
        assert owner.execute("SELECT count(*) FROM judge_reports").fetchone() == (0,)
