"""Why this answer: the log and one decision, on a real store with the control plane's API."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from controlplane.database import Database
from dashboard.figures import decisions as figures
from dashboard.figures.decisions import Place, Search, labelled_scores
from dashboard.filters import Filters
from dashboard.roles import Role
from dashboard.store import snapshot
from tests.pages import ControlPlane, control_plane, metrics, page, said
from tests.seeding import Past, seed
from tests.underway import explained, kept_locally

NOW = datetime.now(UTC)
DAY = Filters("day")


@dataclass(frozen=True, slots=True)
class House:
    """A store with a past, its control plane, and two decisions that can be explained."""

    database: Database
    control_plane: ControlPlane
    escalated: str
    local: str

    def decisions(
        self, monkeypatch: pytest.MonkeyPatch, role: Role = "operator", /, **parameters: str
    ) -> AppTest:
        """The page."""
        return page(monkeypatch, "decisions", self.database, self.control_plane, role, **parameters)


@pytest.fixture(scope="module")
def house(shared_database: Database) -> Iterator[House]:
    seed(shared_database.url, Past(until=NOW))
    escalated = explained(shared_database, NOW - timedelta(seconds=30))
    local = kept_locally(shared_database, NOW - timedelta(seconds=40), "Who wrote it?")
    with control_plane(shared_database) as beside:
        yield House(shared_database, beside, escalated, local)


def log(
    house: House, search: Search | None = None, before: Place | None = None, **chosen: Any
) -> figures.Log:
    with snapshot(house.database.url_for("penstock_dashboard")) as store:
        filters = Filters("day", **chosen)
        return figures.read(store, filters, search or Search(), before, datetime.now(UTC))


def by_hand(house: House, where: str) -> set[str]:
    with psycopg.connect(house.database.url) as owner:
        rows = owner.execute(
            "SELECT d.id::text FROM decisions d LEFT JOIN completions c ON c.decision_id = d.id"
            " LEFT JOIN judge_scores j ON j.decision_id = d.id AND j.purpose = 'serve'"
            f" WHERE {where}".encode()
        ).fetchall()
    return {id_ for (id_,) in rows}


def whole(house: House, search: Search, **chosen: Any) -> list[str]:
    """All pages of the log, from the newest on."""
    found: list[str] = []
    place: Place | None = None
    while True:
        part = log(house, search, place, **chosen)
        found += part.rows["decision_id"].tolist()
        place = part.older
        if place is None:
            return found


@pytest.mark.parametrize(
    ("search", "chosen", "where"),
    [
        (Search(), {}, "true"),
        (Search(), {"tier": "cloud"}, "c.final_tier = 'cloud'"),
        (Search(), {"tenant": "acme"}, "d.tenant = 'acme'"),
        (Search(), {"version": 3}, "d.policy_version = 3"),
        (Search(), {"segment": "elsewhere"}, "d.segment = 'elsewhere'"),
        (Search(escalated=True), {}, "c.escalated"),
        (Search(status="error"), {}, "c.status = 'error'"),
        (Search(score_from=-0.5, score_to=-0.2), {}, "j.raw BETWEEN -0.5 AND -0.2"),
        (Search(cost_from=0.00005), {}, "c.cost_usd >= 0.00005"),
        (Search(id="order-7"), {}, "d.request_id LIKE 'order-7%'"),
    ],
)
def test_what_is_found_is_that_of_sql_by_hand(
    house: House, search: Search, chosen: dict[str, Any], where: str
) -> None:
    found = whole(house, search, **chosen)
    assert len(found) == len(set(found))
    assert set(found) == by_hand(house, where)
    assert found == sorted(found, reverse=True)


def test_a_page_says_how_far_it_looked_and_where_the_next_one_begins(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "LOOKED", 100)
    first = log(house, Search(id="order-7"))
    assert (len(first.rows), first.looked) == (2, 100)
    assert first.older is not None
    second = log(house, Search(id="order-7"), first.older)
    assert (len(second.rows), second.looked) == (0, 100)
    assert second.older is not None
    assert second.older < first.older


@pytest.mark.parametrize("length", [36, 23, 13])
def test_an_id_is_found_by_how_it_begins_whatever_the_period(house: House, length: int) -> None:
    found = log(house, Search(id=house.local[:length]), tier="nowhere").rows
    assert house.local in set(found["decision_id"])
    assert all(each.startswith(house.local[:length]) for each in found["decision_id"])


def test_labelled_scores_are_those_of_the_judge(house: House) -> None:
    with snapshot(house.database.url_for("penstock_dashboard")) as store:
        found = labelled_scores(store, "logprob", datetime.now(UTC))
        assert labelled_scores(store, "another", datetime.now(UTC)).empty
    with psycopg.connect(house.database.url) as owner:
        rows = owner.execute(
            "SELECT j.raw, l.value FROM labels l JOIN judge_scores j"
            " ON j.decision_id = l.decision_id AND j.tier = l.key"
        ).fetchall()
    expected = pd.DataFrame(rows, columns=["raw", "value"]).sort_values(["raw", "value"])
    assert found.sort_values(["raw", "value"]).to_numpy().tolist() == expected.to_numpy().tolist()
    assert len(found) > 20


def test_the_log_is_on_the_page(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    test = house.decisions(monkeypatch, id="order-78")
    assert not test.exception
    assert test.dataframe[0].value["decision_id"].tolist() == [house.local]
    assert "Choose a row to see why." in said(test)


def test_words_are_found_and_the_page_says_how_far_it_looked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = house.decisions(monkeypatch, words="of thule")
    assert not test.exception
    assert test.dataframe[0].value["decision_id"].tolist() == [house.escalated]
    assert "texts kept in this period were looked at, back to" in said(test)
    assert "1 decision with these words" in said(test)


def test_one_decision_is_told_in_full(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    test = house.decisions(monkeypatch, decision=house.escalated)
    assert not test.exception
    assert not test.error
    shown = metrics(test)
    assert shown["Answered by"] == ("cloud", "after an escalation")
    assert shown["Judge score"][0] == "\\-3.000"
    words = said(test)
    assert "came out the same to the last bit" in words
    for happened in ("arrived", "believed", "decided", "judged", "served", "told"):
        assert f"**{happened}**" in words
    assert [each.value for each in test.subheader][1:] == [
        "What happened", "The score and the cutoff", "What each action was worth",
        "What other policies would have done", "Costs by call", "What was written",
    ]  # fmt: skip
    others = test.dataframe[0].value.set_index("policy")
    assert others.loc["always-local", "would serve"] == "local"
    assert others.loc["always-cloud", "the same answer"] == "yes"
    calls = test.dataframe[1].value
    assert calls["call"].tolist() == ["serve: local", "serve: cloud"]
    assert any("of Thule" in block.value for block in test.code)


def test_a_viewer_sees_no_words_of_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    test = house.decisions(monkeypatch, "viewer", decision=house.local)
    assert not test.exception
    assert "Who wrote it?" not in str(test)
    assert not test.code
    assert "shown to operators alone" in said(test)
    searched = house.decisions(monkeypatch, "viewer", words="wrote")
    assert "words" not in {each.key for each in searched.text_input}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ({"decision": "nonsense"}, "nonsense is no decision"),
        ({"decision": "01936f2a-7700-7000-8000-000000000000"}, "is recorded"),
        ({"id": "order-404"}, "No query of the last day fits"),
    ],
)
def test_what_is_not_there_is_told_in_words(
    house: House, monkeypatch: pytest.MonkeyPatch, address: dict[str, str], words: str
) -> None:
    test = house.decisions(monkeypatch, **address)
    assert not test.exception
    assert words in said(test)
