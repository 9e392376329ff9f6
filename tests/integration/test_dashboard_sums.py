"""The overview counts few queries one by one and reads sums of many: the figures are the same."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from controlplane.connection import connect
from controlplane.database import Database
from controlplane.rollups import add
from dashboard.figures import traffic
from dashboard.figures.overview import Figures, read
from dashboard.figures.traffic import EVERYTHING
from dashboard.store import snapshot
from tests.command import penstock
from tests.pages import metrics, page
from tests.seeding import Past, added_up, seed, shipped

DAY = timedelta(days=1)
EXACT = ("queries", "answered", "local", "last")
NARROWED: tuple[dict[str, Any], ...] = (
    {}, {"tenant": "acme"}, {"segment": "code"}, {"version": 4}, {"tier": "local"},
    {"tier": "cloud", "tenant": "acme"}, {"tenant": "nobody"},
)  # fmt: skip
MIXED = """
UPDATE decisions SET tenant = CASE WHEN seed % 3 = 0 THEN 'acme' ELSE tenant END,
    segment = CASE WHEN seed % 4 = 0 THEN 'code' ELSE segment END
"""
LABELLED_AFTERWARDS = """
WITH told AS (DELETE FROM outcomes RETURNING *) INSERT INTO outcomes SELECT * FROM told
"""


@pytest.fixture(scope="module")
def summed(shared_database: Database) -> Database:
    """A store with 600 queries of two tenants and segments, all added up."""
    seed(shared_database.url, Past(until=datetime.now(UTC), queries=600))
    with psycopg.connect(shared_database.url) as owner:
        owner.execute(MIXED)
        owner.execute("DELETE FROM priced_votes")
        owner.execute(LABELLED_AFTERWARDS)
    added_up(shared_database)
    return shared_database


def look(database: Database, few: int, **narrowed: Any) -> Figures:
    """The figures, where more than ``few`` queries are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "FEW", few)
        with snapshot(database.url_for("penstock_dashboard")) as store:
            return read(store, DAY, {**EVERYTHING, **narrowed})


@pytest.mark.parametrize("narrowed", NARROWED, ids=str)
def test_both_ways_give_the_same_figures(summed: Database, narrowed: dict[str, Any]) -> None:
    counted, added = look(summed, 1_000_000, **narrowed), look(summed, 0, **narrowed)
    assert (counted.summed, added.summed) == (False, True)
    for name in EXACT:
        assert getattr(added, name) == getattr(counted, name)
    assert flat(added) == pytest.approx(flat(counted))
    assert added.simulated == counted.simulated
    if counted.p95_latency_ms is None:
        assert added.p95_latency_ms is None
    else:
        assert added.p95_latency_ms == pytest.approx(counted.p95_latency_ms, rel=0.1)


def flat(figures: Figures) -> dict[str, float]:
    money = asdict(figures.money)
    by_purpose: dict[str, float] = money.pop("by_purpose")
    return by_purpose | money


@pytest.mark.parametrize("few", [0, 1_000_000])
def test_the_command_says_what_the_page_says(
    summed: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    few: int,
) -> None:
    told = json.loads(penstock(summed, monkeypatch, capsys)("cost", "--days", "1", "--json"))
    figures = look(summed, few)
    assert figures.money.spent_usd == pytest.approx(told["after_usd"])
    local = look(summed, few, tier="local").money.by_purpose["serve"]
    cells = [c for c in told["cells"] if (c["tier"], c["purpose"]) == ("local", "serve")]
    assert local == pytest.approx(sum(cell["after_usd"] for cell in cells))


@pytest.mark.parametrize("few", [0, 1_000_000])
def test_a_tenants_figures_are_those_of_sql_by_hand(summed: Database, few: int) -> None:
    with psycopg.connect(summed.url) as owner:
        (spent,) = owner.execute(
            "SELECT sum(cost_usd) FROM attempts a JOIN decisions d ON d.id = a.decision_id"
            " WHERE tenant = 'acme'"
        ).fetchone() or (None,)
        (queries,) = owner.execute(
            "SELECT count(*) FROM completions c JOIN decisions d ON d.id = c.decision_id"
            " WHERE tenant = 'acme'"
        ).fetchone() or (None,)
    figures = look(summed, few, tenant="acme")
    assert figures.queries == queries
    assert 100 < figures.queries < 300
    assert figures.money.spent_usd == pytest.approx(spent)


def test_the_page_says_what_it_reads_and_what_is_narrowed(
    summed: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "overview", summed)
    assert not any("sums by ten minutes" in each.value for each in test.caption)
    monkeypatch.setattr(traffic, "FEW", 0)
    test = page(monkeypatch, "overview", summed, tenant="acme", tier="local")
    assert not test.exception
    assert any("sums by ten minutes" in each.value for each in test.caption)
    assert any("quality, policy, alarms and gates are of all" in c.value for c in test.caption)
    assert "one tier saves nothing" in metrics(test)["Cost saved against always-cloud"][1]
    figures = look(summed, 1_000_000, tenant="acme", tier="local")
    assert metrics(test)["Local share"][1] == f"{figures.local} of {figures.answered} answers"


def test_what_has_arrived_and_is_not_added_is_told(database: Database) -> None:
    seed(database.url, Past(until=datetime.now(UTC), queries=50))
    shipped(database.url)
    with connect(database.url_for("penstock_controlplane")) as connection:
        add(connection, 100)
    with psycopg.connect(database.url) as owner:
        owner.execute(
            "INSERT INTO shipments VALUES ('seeded', 2, 0, 9, 10, now() - interval '1 hour')"
        )
    assert look(database, 0).unsummed == 10
