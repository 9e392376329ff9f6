"""What is live, and what is coming: on a real store with the control plane's API."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import streamlit as st
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

from controlplane import operators, registry, states
from controlplane.connection import connect
from controlplane.cycle import FROZEN
from controlplane.database import Database
from dashboard.figures.policies import Figures, read
from dashboard.store import snapshot
from tests.pages import APP, control_plane, page, said
from tests.seeding import Past, seed
from tests.underway import REFUSAL, answered, kept_locally, proposed


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    """The API on a store with seven policies, answered by four data planes."""
    seed(database.url, Past(until=datetime.now(UTC), queries=60))
    answered(database)
    with control_plane(database) as client:
        yield client


def look(database: Database) -> Figures:
    with snapshot(database.url_for("penstock_dashboard")) as store:
        return read(store)


def button(test: AppTest, label: str) -> AppTest:
    (found,) = [each for each in test.button if each.label == label]
    return found.click().run()


def test_the_figures_are_those_of_the_store(database: Database, client: TestClient) -> None:
    figures = look(database)
    assert figures.live is not None
    assert (figures.live.version, figures.before) == (7, 6)
    assert [each.seq for each in figures.publications] == [7, 6, 5, 4, 3, 2, 1]
    planes = {each.plane: each for each in figures.planes}
    assert (planes["oslo-1"].standing, planes["oslo-1"].reason) == ("refused", REFUSAL)
    assert (planes["oslo-2"].standing, planes["oslo-2"].behind) == ("behind", 2)
    assert planes["paris-1"].standing == "current"
    assert figures.frozen_since is None
    with connect(database.url_for("penstock_controlplane")) as connection:
        operators.freeze(connection, "ada", frozen=True, reason="an audit")
    frozen = look(database)
    assert frozen.frozen_since is not None
    assert frozen.events["reason"].tolist() == ["an audit"]


def test_the_page_tells_the_difference_the_proposal_and_who_serves(
    database: Database, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        kept_locally(database, datetime.now(UTC) - timedelta(minutes=number + 1), "Who?")
    version = proposed(database)
    test = page(monkeypatch, database, client, "policies")
    assert not test.exception
    assert not test.error
    metrics = {each.label: (each.value, each.delta) for each in test.metric}
    assert metrics["Live policy"][0] == "v7"
    assert metrics["Proposal"] == (f"v{version}", "shadow, 48 pairs")
    assert metrics["Data planes"] == ("2 of 4", "1 refuse it, 1 behind")
    words = said(test)
    assert "From v6 to v7" in words
    assert "judge cutoff" in words
    assert "% cost, " in words
    assert "points of quality, on the last" in words
    assert "48 pairs among 1,500 queries" in words
    assert "validated by 2 data planes" in words


def test_an_operator_rolls_back_with_a_reason(
    database: Database, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, database, client, "policies")
    (choice,) = [each for each in test.selectbox if each.key == "version_back"]
    choice.select(5).run()
    button(test, "Roll back to v5")
    assert "decides all conversations at once, in the place of v7" in said(test)
    (why,) = [each for each in test.text_area if each.key == "reason"]
    why.input("customers *complain*")
    confirm = [each for each in test.button if each.label == "Roll back to v5"][-1]
    confirm.click().run()
    assert not test.exception
    assert r"Done\: v5 is in force" in said(test)
    with connect(database.url_for("penstock_controlplane")) as connection:
        newest = registry.latest(connection)
    assert newest is not None
    assert newest.leading == 5
    assert newest.reason.endswith("customers *complain*")


def test_without_a_reason_nothing_is_done(
    database: Database, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, database, client, "policies")
    button(test, "Freeze the learner")
    [each for each in test.button if each.label == "Freeze the learner"][-1].click().run()
    assert "Say why" in said(test)
    with connect(database.url_for("penstock_controlplane")) as connection:
        assert states.load_value(connection, FROZEN, default=False) is False


def test_a_refusal_is_told_in_the_control_planes_words(
    database: Database, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = proposed(database)
    test = page(monkeypatch, database, client, "policies")
    button(test, f"Refuse v{version}")
    with connect(database.url_for("penstock_controlplane")) as connection:
        operators.move(connection, version, "refused", "bob", "too late", datetime.now(UTC))
    (why,) = [each for each in test.text_area if each.key == "reason"]
    why.input("not now")
    [each for each in test.button if each.label == f"Refuse v{version}"][-1].click().run()
    assert rf"Nothing was changed\: version {version} is refused" in said(test)


def test_a_viewer_sees_all_and_decides_nothing(
    database: Database, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed(database)
    test = page(monkeypatch, database, client, "policies", "viewer")
    assert not test.exception
    assert not test.error
    assert not [each.label for each in test.button]
    assert "48 pairs among" in said(test)


def test_an_empty_store_says_so(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with control_plane(database) as client:
        test = page(monkeypatch, database, client, "policies")
        assert not test.exception
        assert "No policy was published yet" in said(test)


def test_without_a_control_plane_the_store_is_shown(
    database: Database, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page(monkeypatch, database, client, "policies")
    monkeypatch.delenv("PENSTOCK_CONTROL_URL")
    st.cache_data.clear()
    test = AppTest.from_file(str(APP), default_timeout=120).switch_page("pages/policies.py").run()
    assert not test.exception
    metrics = {each.label: each.value for each in test.metric}
    assert (metrics["Live policy"], metrics["Proposal"]) == ("v7", "not known")
    assert "PENSTOCK\\_CONTROL\\_URL is unset" in said(test)
