"""The page on the judge, on a real store with a past, as penstock_dashboard sees it."""

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.rows import dict_row

from controlplane.database import Database
from dashboard.figures.judge import Figures, confusion, read
from dashboard.filters import Filters
from dashboard.store import snapshot
from tests.kept import remember
from tests.pages import charts, metrics, page, said
from tests.seeding import Past

DAY = Filters("day")
LABELLED = """
SELECT j.raw, l.value >= 0.5 AS "right", a.probability FROM judge_scores j
JOIN draws a ON a.decision_id = j.decision_id AND a.kind = 'audit'
JOIN labels l ON l.decision_id = j.decision_id AND l.key = 'local'
"""


@pytest.fixture(scope="module")
def past(shared_database: Database) -> Database:
    remember(shared_database, Past(until=datetime.now(UTC), queries=900, audit_rate=0.4))
    return shared_database


@pytest.fixture
def figures(past: Database) -> Figures:
    return look(past)


def look(database: Database, filters: Filters = DAY) -> Figures:
    with snapshot(database.url_for("penstock_dashboard")) as store:
        return read(store, filters)


def test_the_confusion_is_that_of_sql_by_hand(past: Database, figures: Figures) -> None:
    assert figures.report is not None
    with psycopg.connect(past.url, row_factory=dict_row) as owner:
        rows = owner.execute(LABELLED).fetchall()
    cells = confusion(figures.report, figures.scores)
    for answer in ("right", "wrong"):
        own = [row for row in rows if row["right"] == (answer == "right")]
        accepted = [row for row in own if row["raw"] >= figures.report["cutoff"]]
        weight = [sum(1 / row["probability"] for row in some) for some in (accepted, own)]
        cell, other = cells[cells["answer"] == answer].to_dict("records")
        assert cell["labels"] == len(accepted) > 0
        assert other["labels"] == len(own) - len(accepted)
        assert cell["share"] == pytest.approx(weight[0] / weight[1])
        assert cell["lo"] <= cell["share"] <= cell["hi"]


def test_the_ranking_is_that_of_pairs_by_hand(past: Database, figures: Figures) -> None:
    assert figures.report is not None
    with psycopg.connect(past.url, row_factory=dict_row) as owner:
        rows = owner.execute(LABELLED).fetchall()
    right = [row["raw"] for row in rows if row["right"]]
    wrong = [row["raw"] for row in rows if not row["right"]]
    above = sum(r > w for r in right for w in wrong) / (len(right) * len(wrong))
    assert figures.report["auroc"] == pytest.approx(above, abs=1e-3)
    assert (figures.report["labels"], figures.report["right_labels"]) == (len(rows), len(right))


def test_the_page_shows_the_figures(
    past: Database, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "judge", past)
    assert not test.exception
    assert not test.error
    assert figures.report is not None
    shown = {label: value for label, (value, _) in metrics(test).items()}
    assert shown["Trusted in default?"] == "trusted"
    assert shown["Ranks right above wrong (AUROC)"] == f"{figures.report['auroc']:.2f}"
    assert f"{100 * figures.report['wrong_accepted']:.1f} %" in shown.values()
    assert any("gate open since" in each.value for each in test.markdown)
    assert "SIMULATED" in test.warning[0].value
    assert "own confidence" in test.warning[1].value
    assert charts(test) == 2
    assert len(figures.hours) == 4
    assert set(figures.changes["kind"]) == {"gate", "drift", "alarm"}


@pytest.mark.parametrize(
    ("view", "drawn", "tables", "words"),
    [
        ("At another cutoff", 2, 0, "The area under the curve is"),
        ("Over time", 2, 0, "Boxes: stretches of as many labels each"),
        ("Numbers", 0, 5, "judge calibration"),
    ],
)
def test_each_view_has_an_address(
    past: Database, monkeypatch: pytest.MonkeyPatch, view: str, drawn: int, tables: int, words: str
) -> None:
    test = page(monkeypatch, "judge", past, view=view)
    assert not test.exception
    assert (charts(test), len(test.dataframe)) == (drawn, tables)
    assert words in said(test)


def test_of_a_month_the_last_report_of_each_day_is_read(past: Database) -> None:
    with psycopg.connect(past.url) as owner:
        last = owner.execute(
            "SELECT max(at) FROM judge_reports WHERE segment = 'default'"
            " GROUP BY date_bin('1 day', at, '2000-01-01Z') ORDER BY 1"
        ).fetchall()
    with snapshot(past.url_for("penstock_dashboard")) as store:
        hours = read(store, Filters("month")).hours
    assert [at.to_pydatetime() for at in hours["at"]] == [at for (at,) in last]


def test_few_labels_say_how_many_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(database, Past(until=datetime.now(UTC), queries=60), hours=1)
    test = page(monkeypatch, "judge", database)
    assert not test.exception
    report = look(database).report
    assert report is not None
    missing = f"{report['labels_missing']} more labels"
    assert missing in test.info[0].value
    assert all(missing in metric.delta for metric in test.metric[1:])


def test_of_a_strange_segment_it_says_which_have_reports(
    past: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "judge", past, segment="other")
    assert "No report on segment other: there are some on default" in test.info[0].value
