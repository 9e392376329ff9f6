"""The page on quality and cost, on a real store with a past, as penstock_dashboard sees it."""

from datetime import UTC, datetime

import psycopg
import pytest

from controlplane.database import Database
from dashboard.figures.quality import METHODS, Figures, read, told
from dashboard.filters import Filters
from dashboard.store import snapshot
from tests.kept import remember, tabled
from tests.pages import charts, metrics, page
from tests.seeding import Past

SERVED = """
SELECT count(*), avg(cost_usd) FROM completions WHERE status = 'ok'
"""


@pytest.fixture(scope="module")
def past(shared_database: Database) -> Database:
    remember(shared_database, Past(until=datetime.now(UTC), queries=900, audit_rate=0.4))
    tabled(shared_database)
    return shared_database


@pytest.fixture
def figures(past: Database) -> Figures:
    return look(past)


def look(database: Database, filters: Filters | None = None) -> Figures:
    with snapshot(database.url_for("penstock_dashboard")) as store:
        return read(store, filters or Filters("day"))


def test_what_was_served_costs_what_sql_says(past: Database, figures: Figures) -> None:
    with psycopg.connect(past.url) as owner:
        (queries, usd) = owner.execute(SERVED).fetchone() or (0, 0.0)
    served = figures.point("served")
    assert served is not None
    assert served["queries"] == queries
    assert served["usd"] == pytest.approx(1000 * usd)
    assert served["usd_lo"] < served["usd"] < served["usd_hi"]
    assert served["quality_lo"] < served["quality"] < served["quality_hi"]


def test_measured_and_modelled_are_apart(figures: Figures) -> None:
    assert "model" not in set(figures.measured["method"])
    assert set(figures.curve["method"]) == {"model"}
    assert figures.curve["usd"].is_monotonic_increasing
    assert len(figures.course) == 4
    assert figures.live_arm["policy_version"].tolist() == [8]  # of v8 no label tells yet


def test_the_per_category_mean_is_a_line_of_measured_points(figures: Figures) -> None:
    tables = told(figures.points).query("what == 'per-category mean'")
    assert tables["name"].tolist() == ["λ 0.4", "λ 0.2", "λ 0.1", "λ 0.05"]
    assert set(tables["how it is known"]) == {METHODS["snips"]}
    assert set(tables["name"]) <= set(figures.measured["name"])


def test_the_coin_is_drawn_between_the_ends_by_hand(figures: Figures) -> None:
    served, (local, cloud) = figures.point("served"), figures.ends.to_dict("records")
    assert served is not None
    assert figures.mix is not None
    share = (served["usd"] - local["usd"]) / (cloud["usd"] - local["usd"])
    coin = local["quality"] + share * (cloud["quality"] - local["quality"])
    assert figures.mix.gain == pytest.approx(served["quality"] - coin)
    assert figures.mix.lo < figures.mix.gain < figures.mix.hi


def test_the_page_shows_the_figures(
    past: Database, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "quality", past)
    assert not test.exception
    assert not test.error
    served = figures.point("served")
    assert served is not None
    shown = {label: value for label, (value, _) in metrics(test).items()}
    assert shown["Right answers, as served"] == f"{100 * served['quality']:.1f} %"
    assert figures.mix is not None
    assert shown["Against a coin of the same cost"] == f"{100 * figures.mix.gain:+.1f} points"
    assert charts(test) == 3
    assert not test.dataframe
    opened = page(monkeypatch, "quality", past, points="true")
    assert len(opened.dataframe[0].value) == len(figures.points)


def test_a_segment_without_a_frontier_is_said_to_have_none(
    past: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "quality", past, segment="code")
    assert "No frontier of segment code yet" in test.info[0].value
