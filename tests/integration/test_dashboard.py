"""The overview on a real store with a past, as penstock_dashboard sees it."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from controlplane import keys
from controlplane.audit.trial import Trial
from controlplane.audit.trust import Key, Trust
from controlplane.connection import connect
from controlplane.cycle import TRUST
from controlplane.database import Database
from controlplane.launch import free_ports
from controlplane.states import save
from controlplane.stats.gate import Gate
from dashboard.figures.overview import ENOUGH, Figures, read
from dashboard.figures.traffic import EVERYTHING
from dashboard.period import PERIODS
from dashboard.store import SETTINGS, SQL, StoreUnavailable, snapshot
from tests.pages import APP, charts, metrics, page
from tests.seeding import CLOUD, Past, seed

ROOT = APP.parents[1]
EXAMPLE = ROOT / "penstock.example.yaml"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def seeded(shared_database: Database) -> Database:
    """A store with 400 queries of the last hour."""
    seed(shared_database.url, Past(until=datetime.now(UTC)))
    return shared_database


@pytest.fixture
def figures(seeded: Database) -> Figures:
    return look(seeded)


def look(database: Database, period: timedelta = DAY) -> Figures:
    with snapshot(database.url_for("penstock_dashboard")) as store:
        return read(store, period)


def by_hand(database: Database, query: str) -> Any:
    with psycopg.connect(database.url) as owner:
        (value,) = owner.execute(query.encode()).fetchone() or (None,)
    return value


def test_money_is_that_of_sql_by_hand(seeded: Database, figures: Figures) -> None:
    spent = by_hand(seeded, "SELECT sum(cost_usd) FROM attempts")
    assert figures.money.spent_usd == pytest.approx(spent)
    for purpose, cost in figures.money.by_purpose.items():
        own = by_hand(seeded, f"SELECT sum(cost_usd) FROM attempts WHERE purpose = '{purpose}'")
        assert cost == pytest.approx(own)
    labels = by_hand(seeded, "SELECT count(*) FROM outcomes")
    assert figures.money.labels == labels > ENOUGH
    assert figures.money.labels_usd == pytest.approx(0.002 * labels)


def test_always_cloud_is_what_was_paid_and_what_shadows_say_of_the_rest(
    seeded: Database, figures: Figures
) -> None:
    with psycopg.connect(seeded.url) as owner:
        rest = owner.execute(
            "SELECT (features ->> 'chars')::int FROM decisions d JOIN completions c"
            " ON c.decision_id = d.id WHERE c.status = 'ok' AND c.final_tier = 'local'"
        ).fetchall()
        shadows = owner.execute(
            "SELECT (features ->> 'chars')::int, cost_usd FROM decisions d JOIN attempts a"
            " ON a.decision_id = d.id WHERE a.purpose = 'shadow'"
        ).fetchall()
    paid = by_hand(
        seeded,
        "SELECT sum(a.cost_usd) FROM attempts a JOIN completions c USING (at, decision_id)"
        " WHERE a.tier = 'cloud' AND a.purpose = 'serve' AND c.status = 'ok'",
    )
    assert figures.money.paid_cloud_usd == pytest.approx(paid)
    expected = sum(float(CLOUD.expected_cost_usd(chars)) for (chars,) in rest)
    of_shadows = sum(float(CLOUD.expected_cost_usd(chars)) for chars, _ in shadows)
    ratio = sum(cost for _, cost in shadows) / of_shadows
    weight = len(shadows) / (len(shadows) + 5)
    always_cloud = paid + expected * (weight * ratio + 1 - weight)
    assert figures.money.shadow_calls == len(shadows) > 5
    assert figures.money.always_cloud_usd == pytest.approx(always_cloud)
    saved = 1 - figures.money.spent_usd / always_cloud
    assert figures.money.saved_share == pytest.approx(saved)
    assert 0.3 < saved < 0.9


def test_shares_and_latency_are_those_of_sql_by_hand(seeded: Database, figures: Figures) -> None:
    answered = by_hand(seeded, "SELECT count(*) FROM completions WHERE status = 'ok'")
    local = by_hand(seeded, "SELECT count(*) FROM completions WHERE final_tier = 'local'")
    p95 = by_hand(
        seeded,
        "SELECT percentile_cont(.95) WITHIN GROUP (ORDER BY latency_ms) FROM completions"
        " WHERE status = 'ok'",
    )
    assert (figures.queries, figures.answered, figures.local) == (400, answered, local)
    assert figures.p95_latency_ms == pytest.approx(p95)


def test_quality_is_the_last_estimate_of_the_promises_window(
    seeded: Database, figures: Figures
) -> None:
    assert figures.quality is not None
    last = by_hand(
        seeded,
        "SELECT quality FROM estimates WHERE \"window\" = 'run' ORDER BY id DESC LIMIT 1",
    )
    assert figures.quality.quality == last
    assert figures.quality_course["labels"].min() >= ENOUGH
    assert figures.quality_course["at"].is_monotonic_increasing


def test_the_policy_is_the_one_in_force(seeded: Database, figures: Figures) -> None:
    assert figures.policy is not None
    assert (figures.policy.version, figures.policy.target_quality) == (7, 0.9)
    assert figures.policy.floor == pytest.approx(0.88)
    course = figures.policy_course
    assert course["version"].tolist() == [1, 2, 3, 4, 5, 6, 7, 7]
    assert course["routing_threshold"].iloc[0] == 1.0
    assert course["routing_threshold"].is_monotonic_decreasing


def test_costs_over_time_add_up_to_the_total(figures: Figures) -> None:
    assert figures.cost_course["purpose"].nunique() == 2
    assert figures.cost_course["at"].nunique() > 20
    assert (figures.cloud_course["usd_per_1000"] > 0).all()


def test_what_says_simulated_is_named(figures: Figures) -> None:
    assert figures.simulated == ["labeller SIMULATED-verifier", "model SIMULATED-cloud"]


@pytest.mark.parametrize("name", SQL)
def test_the_role_may_ask_every_query_and_see_no_table(seeded: Database, name: str) -> None:
    everything: dict[str, Any] = {
        "since": datetime.now(UTC) - DAY, "now": datetime.now(UTC),
        "width": timedelta(minutes=1), "enough": ENOUGH, "measure": "answer",
        "turn": datetime.now(UTC), **EVERYTHING,
    }  # fmt: skip
    everything = dict.fromkeys(re.findall(r"%\((\w+)\)s", SQL[name].decode())) | everything
    everything.pop("rows", None)
    with snapshot(seeded.url_for("penstock_dashboard")) as store:
        store.rows(name, **everything)


def test_the_role_reads_its_views_and_nothing_else(seeded: Database) -> None:
    readable = by_hand(
        seeded,
        "SELECT array_agg(relname::text) FROM pg_class WHERE relkind IN ('r', 'p', 'v')"
        " AND relnamespace = 'public'::regnamespace"
        " AND has_table_privilege('penstock_dashboard', oid, 'SELECT')",
    )
    assert readable
    assert all(name.startswith("v_") for name in readable)
    undescribed = by_hand(
        seeded,
        "SELECT count(*) FROM pg_class WHERE relkind = 'v' AND relname LIKE 'v\\_%'"
        " AND obj_description(oid) IS NULL",
    )
    assert undescribed == 0


def test_nothing_can_be_written_and_nothing_takes_for_ever(seeded: Database) -> None:
    with snapshot(seeded.url_for("penstock_dashboard")) as store:
        settings = {
            name: store._connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("transaction_read_only", "transaction_isolation", "statement_timeout")
        }
    assert [next(iter(row.values())) for row in settings.values() if row] == [
        "on", "repeatable read", "5s",
    ]  # fmt: skip


def test_the_page_shows_the_figures(seeded: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page(monkeypatch, "overview", seeded, period="hour")
    assert not test.exception
    figures = look(seeded, PERIODS["hour"])
    shown = metrics(test)
    assert shown["Quality, target 90 % less 2 points"] == (
        "92.3 %", "86.5 to 98.1 %: not decided yet",
    )  # fmt: skip
    saved = figures.money.saved_share
    assert saved is not None
    assert shown["Cost saved against always-cloud"][0] == f"{100 * saved:.0f} %"
    assert shown["Policy"][0] == "v7"
    assert shown["Local share"][1] == f"{figures.local} of {figures.answered} answers"
    assert shown["Alarms in the last day"][0] == "1"
    assert [heading.value for heading in test.subheader] == [
        "Quality over time",
        "Cost per query over time",
        "Routing threshold and judge cutoff",
        "Judge",
    ]
    assert "SIMULATED" in test.warning[0].value
    assert charts(test) == 4


def test_where_the_gate_stands_is_on_the_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust, since = Trust(lambda _: None), datetime.now(UTC) - timedelta(hours=2)
    trust.trials[Key("logprob", "default")] = Trial(Gate("open"), since, pairs=1234)
    with connect(database.url_for("penstock_controlplane")) as connection:
        save(connection, TRUST, trust.to_json())
    seed(database.url, Past(until=datetime.now(UTC), queries=60))
    (gate,) = look(database).gates
    assert (gate["judge"], gate["standing"], gate["since"]) == ("logprob", "open", since)
    told = [each.value for each in page(monkeypatch, "overview", database).caption]
    assert "Judge logprob, segment default: trusted for 2 h, 1,234 pairs seen." in told


def test_the_filters_offer_what_there_is(seeded: Database) -> None:
    with connect(seeded.url_for("penstock_controlplane")) as connection:
        for tenant in ("acme", "acme", "zeta"):
            keys.create(connection, tenant=tenant, scopes=["inference"])
    with snapshot(seeded.url_for("penstock_dashboard")) as store:
        rows = [(row["filter"], row["value"]) for row in store.rows("filters")]
    assert [value for name, value in rows if name == "tenant"] == ["acme", "zeta"]
    assert [value for name, value in rows if name == "tier"] == ["local", "cloud"]
    assert [value for name, value in rows if name == "segment"] == ["default"]
    assert [value for name, value in rows if name == "version"] == list("7654321")


def test_an_old_past_says_how_old(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(database.url, Past(until=datetime.now(UTC) - timedelta(days=3), queries=40))
    test = page(monkeypatch, "overview", database, period="hour")
    assert not test.exception
    assert "the last one came 3 d ago" in test.info[0].value
    assert metrics(test)["Quality, target 90 % less 2 points"][1] == (
        f"{ENOUGH - 8} more labels until an interval"
    )


def test_a_slow_store_names_the_remedy(seeded: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SQL, "now", b"SELECT pg_sleep(5)")
    monkeypatch.setitem(SETTINGS, "statement_timeout", 20)
    with pytest.raises(StoreUnavailable, match="choose a shorter period"):
        look(seeded)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """`penstock dashboard` on a free port, of a configuration beside which its log goes."""
    (tmp_path / "penstock.yaml").write_text(EXAMPLE.read_text())
    (port,) = free_ports(1)
    words = ["dashboard", f"--port={port}", f"--config={tmp_path / 'penstock.yaml'}"]
    return [sys.executable, "-c", "from controlplane.cli import main; main()", *words]


def test_the_command_serves_until_it_is_told_to_stop(seeded: Database, command: list[str]) -> None:
    environment = {
        "PATH": "/usr/bin",
        "OPENAI_API_KEY": "sk-canary",
        "DATABASE_URL_DASHBOARD": seeded.url_for("penstock_dashboard"),
    }
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            assert said.startswith("dashboard at http://127.0.0.1:"), said
            url = said.split()[2]
            assert httpx.get(f"{url}/_stcore/health", trust_env=False).text == "ok"
            assert "<title>" in httpx.get(url, trust_env=False).text
        finally:
            process.terminate()
            assert process.wait(30) == 0
