"""The labelling page by AppTest, on the real API and tables; and who may see which page."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import psycopg
import pytest
import streamlit as st
from streamlit.runtime.context import StreamlitHeaders
from streamlit.testing.v1 import AppTest

from controlplane import push
from controlplane.connection import Connect
from controlplane.database import Database
from dashboard import person, sitting
from dashboard.units import plain
from tests.pages import APP, control_plane, press
from tests.policies import policy
from tests.seeding import Past, seed, wait_for_labels


@pytest.fixture
def beside(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The control plane, as the dashboard reaches it."""
    with control_plane(database) as plane:
        plane.reached(monkeypatch)
        yield


@pytest.fixture
def rita(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reviewer, whom the proxy names."""
    monkeypatch.setenv("DATABASE_URL_DASHBOARD", database.url_for("penstock_dashboard"))
    monkeypatch.setenv("PENSTOCK_LOGIN", "proxy")
    monkeypatch.setenv("PENSTOCK_LOGIN_REVIEWERS", "rita@example.org")
    monkeypatch.setattr(person, "_proxied", lambda login: "rita@example.org")
    monkeypatch.setattr(sitting, "GLANCE_S", 0.0)
    return "rita@example.org"


def arrive() -> AppTest:
    """The first page, as whoever is logged in sees it."""
    st.cache_data.clear()
    return AppTest.from_file(str(APP), default_timeout=60).run()


def shown(test: AppTest) -> str:
    """The last text is the answer's."""
    return str(test.text[-1].value)


def votes(database: Database) -> list[tuple[str, str]]:
    with psycopg.connect(database.url) as owner:
        return owner.execute(
            "SELECT labeller, split_part(holder, '/', 2) FROM label_votes"
        ).fetchall()


@pytest.mark.usefixtures("beside")
def test_a_sitting_from_the_first_answer_to_the_last(database: Database, rita: str) -> None:
    seed(database.url, Past(until=datetime.now(UTC), queries=20))
    wait_for_labels(database.url, 3)
    test = arrive()
    assert not test.exception
    assert [heading.value for heading in test.header] == ["Labelling"]
    first = shown(test)
    press(test, "Good")
    assert shown(test) != first
    assert votes(database) == []
    press(test, "Undo")
    assert shown(test) == first
    press(press(test, "Bad"), "Unsure")
    assert votes(database) == [(rita, rita)]
    with psycopg.connect(database.url) as owner:
        assert owner.execute(
            "SELECT value FROM outcomes WHERE labeller = %s", (rita,)
        ).fetchall() == [(0.0,)]
    press(test, "Skip")
    assert "No answer waits for your label" in test.info[0].value
    assert len(votes(database)) == 2


@pytest.mark.usefixtures("beside", "rita")
def test_nothing_to_label_and_nobody_to_ask_are_a_line_each(
    store: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store() as connection:
        push.publish(connection, policy())
    test = arrive()
    assert "No answer waits for your label" in test.info[0].value
    assert any("0 answers were graded by two people" in each.value for each in test.caption)
    monkeypatch.delenv("PENSTOCK_REVIEWER_KEY")
    test = arrive()
    assert not test.exception
    (error,) = test.error
    assert plain("PENSTOCK_REVIEWER_KEY is unset") in error.value


@pytest.mark.parametrize(
    ("name", "says"), [("eve@example.org", "eve@example.org has no role here"), ("", "Nobody is")]
)
def test_a_stranger_sees_the_door(
    rita: str, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setattr(person, "_proxied", lambda login: name)
    test = arrive()
    assert [heading.value for heading in test.header] == ["Penstock"]
    assert says in test.error[0].value
    assert not test.metric


@pytest.mark.usefixtures("beside", "rita")
@pytest.mark.parametrize(
    ("name", "page"),
    [("rita@example.org", "Labelling"), ("vic@example.org", "Overview"), ("ann@x.org", "Overview")],
)
def test_each_role_comes_to_its_own_first_page(
    monkeypatch: pytest.MonkeyPatch, name: str, page: str
) -> None:
    monkeypatch.setenv("PENSTOCK_LOGIN_VIEWERS", "vic@*")
    monkeypatch.setenv("PENSTOCK_LOGIN_OPERATORS", "*@x.org")
    monkeypatch.setattr(person, "_proxied", lambda login: name)
    test = arrive()
    assert not test.exception
    assert [heading.value for heading in test.header] == [page]


@pytest.mark.parametrize(
    ("peer", "said", "role"),
    [
        (None, ["Rita@example.org"], "reviewer"),
        ("10.0.0.9", ["rita@example.org"], None),  # past the proxy
        (None, ["rita@example.org", "ann@x.org"], None),  # who of them?
        (None, ["eve@example.org"], None),
        (None, [], None),
    ],
)
def test_the_proxys_header_is_believed_where_it_is_the_proxys(
    monkeypatch: pytest.MonkeyPatch, peer: str | None, said: list[str], role: str | None
) -> None:
    monkeypatch.setenv("PENSTOCK_LOGIN", "proxy")
    monkeypatch.setenv("PENSTOCK_LOGIN_REVIEWERS", "rita@example.org")
    headers = StreamlitHeaders([("X-Forwarded-Email", each) for each in said])
    context = SimpleNamespace(ip_address=peer, headers=headers)
    monkeypatch.setattr(person, "st", SimpleNamespace(context=context))
    if role is None:
        with pytest.raises(person.Stranger):
            person.current()
    else:
        assert person.current() == person.Person("rita@example.org", "reviewer")


@pytest.mark.parametrize(
    ("claims", "comes_in"),
    [
        ({"is_logged_in": True, "email": "Rita@example.org", "email_verified": True}, True),
        ({"is_logged_in": True, "email": "rita@example.org", "email_verified": False}, False),
        ({"is_logged_in": True, "email": "rita@example.org"}, False),
        ({"is_logged_in": False}, False),
    ],
)
def test_an_address_counts_once_the_provider_verified_it(
    monkeypatch: pytest.MonkeyPatch, claims: dict[str, object], *, comes_in: bool
) -> None:
    monkeypatch.setenv("PENSTOCK_LOGIN", "oidc")
    monkeypatch.setenv("PENSTOCK_LOGIN_REVIEWERS", "rita@example.org")
    user = SimpleNamespace(to_dict=lambda: claims)
    monkeypatch.setattr(person, "st", SimpleNamespace(user=user))
    if comes_in:
        assert person.current().name == "rita@example.org"
    else:
        with pytest.raises(person.Stranger):
            person.current()
