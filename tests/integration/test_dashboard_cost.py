"""The page on spend, on a real store with a past, and the control plane's API beside it."""

from datetime import UTC, datetime

import psycopg
import pytest

from controlplane.database import Database
from dashboard import person
from dashboard.control import Control
from dashboard.figures import traffic
from dashboard.figures.cost import Course, drift, read, steps
from dashboard.filters import Filters
from dashboard.store import snapshot
from dashboard.units import usd
from tests.kept import remember
from tests.pages import charts, control_plane, metrics, page, said
from tests.seeding import Past, added_up

HOUR = Filters("hour")


@pytest.fixture(scope="module")
def past(shared_database: Database) -> Database:
    remember(shared_database, Past(until=datetime.now(UTC), queries=300), hours=1)
    added_up(shared_database)
    return shared_database


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
    with control_plane(past) as beside:
        test = page(monkeypatch, "cost", past, beside, period="hour")
        told = Control(person.current()).get("/v1/cost/drift", days=1 / 24, before=1 / 24)
    assert not test.exception
    assert not test.error
    found = drift(told)
    assert found.after_usd == pytest.approx(told["after_usd"])
    assert found.effects == pytest.approx(told["effects"])
    bars = steps(found)
    assert bars["end"].iloc[-2] == pytest.approx(bars["end"].iloc[-1])  # they sum to the change
    assert found.after_usd > 0 < found.before_usd
    shown = metrics(test)
    assert shown["Chief driver"][0] == found.ranked[0][0]
    (queries,) = told["queries"]
    assert shown["Queries"][0] == f"{queries['after']:,.0f}"
    assert shown["Cost of 1,000 queries"][0] == usd(1000 * found.after_usd / queries["after"])
    assert test.markdown[0].value.startswith("#### Spend rose by")
    assert charts(test) == 3
    assert not test.dataframe
    with control_plane(past) as beside:
        opened = page(
            monkeypatch, "cost", past, beside, period="hour", cells="true", all_changes="true"
        )
    assert len(opened.dataframe[0].value) == len(found.cells)
    assert opened.dataframe[-1].value["kind"].tolist() == ["alarm", "drift", "gate"]
    assert r"\*state\* the new price" in said(test)


def test_without_the_control_plane_the_rest_is_shown(
    past: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "cost", past, period="hour")
    assert not test.exception
    assert "is unset" in test.error[0].value
    assert charts(test) == 2
