"""What is live, and what is coming: on a real store with the control plane's API."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from controlplane import operators, registry, states
from controlplane.connection import connect
from controlplane.cycle import FROZEN
from controlplane.database import Database
from dashboard.figures.policies import Figures, read
from dashboard.store import snapshot
from tests.pages import ControlPlane, control_plane, metrics, page, press, said
from tests.seeding import Past, seed
from tests.underway import REFUSAL, answered, kept_locally, proposed


@pytest.fixture
def beside(database: Database) -> Iterator[ControlPlane]:
    """That of a store with seven policies, answered by four data planes."""
    seed(database.url, Past(until=datetime.now(UTC), queries=60))
    answered(database)
    with control_plane(database) as beside:
        yield beside


def look(database: Database) -> Figures:
    with snapshot(database.url_for("penstock_dashboard")) as store:
        return read(store)


def confirm(test: AppTest, label: str, reason: str = "") -> AppTest:
    """By the button of the dialog, which is the last of this label."""
    if reason:
        (why,) = [each for each in test.text_area if each.key == "reason"]
        why.input(reason)
    return [each for each in test.button if each.label == label][-1].click().run()


def test_the_figures_are_those_of_the_store(database: Database, beside: ControlPlane) -> None:
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
    database: Database, beside: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        kept_locally(database, datetime.now(UTC) - timedelta(minutes=number + 1), "Who?")
    version = proposed(database)
    test = page(monkeypatch, "policies", database, beside)
    assert not test.exception
    assert not test.error
    shown = metrics(test)
    assert shown["Live policy"][0] == "v7"
    assert shown["Proposal"] == (f"v{version}", "shadow, 48 pairs")
    assert shown["Data planes"] == ("2 of 4", "1 refuse it, 1 behind")
    words = said(test)
    assert "From v6 to v7" in words
    assert "judge cutoff" in words
    assert "% cost, " in words
    assert "points of quality, on the last" in words
    assert "48 pairs among 1,500 queries" in words
    assert "validated by 2 data planes" in words


def test_an_operator_rolls_back_with_a_reason(
    database: Database, beside: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "policies", database, beside)
    (choice,) = [each for each in test.selectbox if each.key == "version_back"]
    choice.select(5).run()
    press(test, "Roll back to v5")
    assert "decides all conversations at once, in the place of v7" in said(test)
    confirm(test, "Roll back to v5", "customers *complain*")
    assert not test.exception
    assert r"Done\: v5 is in force" in said(test)
    with connect(database.url_for("penstock_controlplane")) as connection:
        newest = registry.latest(connection)
    assert newest is not None
    assert newest.leading == 5
    assert newest.reason.endswith("customers *complain*")


def test_without_a_reason_nothing_is_done(
    database: Database, beside: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "policies", database, beside)
    confirm(press(test, "Freeze the learner"), "Freeze the learner")
    assert "Say why" in said(test)
    with connect(database.url_for("penstock_controlplane")) as connection:
        assert states.load_value(connection, FROZEN, default=False) is False


def test_a_refusal_is_told_in_the_control_planes_words(
    database: Database, beside: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = proposed(database)
    test = page(monkeypatch, "policies", database, beside)
    press(test, f"Refuse v{version}")
    with connect(database.url_for("penstock_controlplane")) as connection:
        operators.move(connection, version, "refused", "bob", "too late", datetime.now(UTC))
    confirm(test, f"Refuse v{version}", "not now")
    assert rf"Nothing was changed\: version {version} is refused" in said(test)


def test_a_viewer_sees_all_and_decides_nothing(
    database: Database, beside: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed(database)
    test = page(monkeypatch, "policies", database, beside, "viewer")
    assert not test.exception
    assert not test.error
    assert not [each.label for each in test.button]
    assert "48 pairs among" in said(test)


def test_without_a_control_plane_the_store_is_shown(
    database: Database, beside: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "policies", database)
    assert not test.exception
    shown = metrics(test)
    assert (shown["Live policy"][0], shown["Proposal"][0]) == ("v7", "not known")
    assert "PENSTOCK\\_CONTROL\\_URL is unset" in said(test)
