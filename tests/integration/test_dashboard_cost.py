"""The page on spend, on a real store with a past, and the control plane's API beside it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from controlplane.connection import connect
from controlplane.database import Database
from controlplane.rollups import add
from dashboard.figures import traffic
from dashboard.figures.cost import Course, drift, read, steps
from dashboard.filters import Filters
from dashboard.store import snapshot
from dashboard.units import usd
from tests.conftest import Databases
from tests.kept import remember
from tests.seeding import Past
from tests.shown import api_beside, shown

HOUR = Filters("hour")


@pytest.fixture(scope="module")
def past(databases: Databases, migrated: str) -> Iterator[Database]:
    with databases(migrated) as fresh:
        remember(fresh, Past(until=datetime.now(UTC), queries=300), hours=1)
        with psycopg.connect(fresh.url) as owner:
            owner.execute("INSERT INTO shipments VALUES ('seeded', 1, 0, 10000000, 1)")
        with connect(fresh.url_for("penstock_controlplane")) as connection:
            add(connection, 100_000_000)
        yield fresh


def look(database: Database, filters: Filters = HOUR, times: float = 1.0) -> Course:
    with snapshot(database.url_for("penstock_dashboard")) as store:
        return read(store, filters, times)


def by_hand(database: Database, query: str) -> float:
    with psycopg.connect(database.url) as owner:
        (value,) = owner.execute(query.encode()).fetchone() or (0.0,)
    return float(value)


@pytest.mark.parametrize("few", [1_000_000, 0])
def test_spend_and_queries_are_those_of_sql_by_hand(
    past: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(traffic, "FEW", few)
    course = look(past)
    assert course.summed == (few == 0)
    turn = course.now - HOUR.span
    turn = traffic.step_of(turn) if course.summed else turn
    spent = 1000 * by_hand(past, f"SELECT sum(cost_usd) FROM attempts WHERE at >= '{turn}'")
    per_query = course.buckets["usd_per_1000"] * course.buckets["queries"]
    assert per_query.sum() == pytest.approx(spent)
    by_purpose = course.purposes.merge(course.buckets[["at", "queries"]], on="at")
    assert (by_purpose["usd_per_1000"] * by_purpose["queries"]).sum() == pytest.approx(spent)
    late = f"SELECT count(*) FROM completions WHERE at >= '{turn}'"
    assert course.queries == by_hand(past, late) > 0
    assert course.queries + course.queries_before == by_hand(past, "SELECT count(*) FROM decisions")


@pytest.mark.parametrize("few", [1_000_000, 0])
def test_a_segment_is_read_by_itself(
    past: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(traffic, "FEW", few)
    everything, own = look(past), look(past, Filters("hour", segment="default"))
    assert own.queries == everything.queries
    paid = everything.purposes["usd_per_1000"].tolist()
    assert own.purposes["usd_per_1000"].tolist() == pytest.approx(paid)
    none = look(past, Filters("hour", segment="other"))
    assert (none.queries, none.queries_before, len(none.buckets)) == (0, 0, 0)


def test_what_the_page_shows_is_what_the_api_says(
    past: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_beside(past, monkeypatch) as client:
        test = shown("cost", past.url_for("penstock_dashboard"), monkeypatch, period="hour")
        told = client.get("/v1/cost/drift", params={"days": 1 / 24, "before": 1 / 24}).json()
    assert not test.exception
    assert not test.error
    found = drift(told)
    assert found.after_usd == pytest.approx(told["after_usd"])
    assert found.effects == pytest.approx(told["effects"])
    bars = steps(found)
    assert bars["end"].iloc[-2] == pytest.approx(bars["end"].iloc[-1])  # they sum to the change
    assert found.after_usd > 0 < found.before_usd
    metrics = {metric.label: metric.value for metric in test.metric}
    assert metrics["Chief driver"] == found.ranked[0][0]
    (queries,) = told["queries"]
    assert metrics["Queries"] == f"{queries['after']:,.0f}"
    assert metrics["Cost of 1,000 queries"] == usd(1000 * found.after_usd / queries["after"])
    assert test.markdown[0].value.startswith("#### Spend rose by")
    assert len(test.get("vega_lite_chart")) + len(test.get("arrow_vega_lite_chart")) == 3
    assert test.dataframe[-1].value["kind"].tolist() == ["alarm", "drift", "gate"]
    assert r"\*state\* the new price" in " ".join(each.value for each in test.markdown)


def test_without_the_control_plane_the_rest_is_shown(
    past: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_CONTROL_URL", raising=False)
    test = shown("cost", past.url_for("penstock_dashboard"), monkeypatch, period="hour")
    assert not test.exception
    assert "is unset" in test.error[0].value
    assert len(test.get("vega_lite_chart")) + len(test.get("arrow_vega_lite_chart")) == 2


def test_an_empty_store_says_what_is_missing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_beside(database, monkeypatch):
        test = shown("cost", database.url_for("penstock_dashboard"), monkeypatch)
    assert not test.exception
    assert not test.error
    assert "No query came in the last day" in test.info[0].value
    assert "nothing to compare with yet" in test.markdown[0].value


def test_no_database_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    test = shown("cost", "postgresql://penstock_dashboard@127.0.0.1:1/penstock", monkeypatch)
    assert not test.exception
    assert "cannot read Postgres at 127.0.0.1" in test.error[0].value
