"""What every page says where it has nothing to show: no store to read, or nothing in it yet."""

from collections.abc import Iterator

import pytest

from controlplane.database import Database
from dashboard.figures.overview import ENOUGH
from dashboard.units import plain
from tests.pages import PAGES, ControlPlane, control_plane, page, said

UNNAMED = ("", "DATABASE_URL_DASHBOARD is unset", "start by `penstock dashboard`")
UNREACHABLE = (
    "postgresql://penstock_dashboard@127.0.0.1:1/penstock",
    "cannot read Postgres at 127.0.0.1:1 (", "start it by `penstock up`",
)  # fmt: skip
WITHOUT_STORE = {  # those that ask the control plane alone
    "labelling": ("PENSTOCK_CONTROL_URL is unset", "name the control plane's URL there")
}
YET = {  # of an empty store, the words of each page
    "overview": (
        "No query has been recorded yet",
        f"Quality, no policy yet: none yet, {ENOUGH} more labels until an interval",
    ),
    "quality": ("No frontier yet",),
    "judge": ("No report on the judge yet",),
    "cost": ("No query came in the last day", "nothing to compare with yet"),
    "decisions": ("No query came in the last day",),
    "labelling": ("No answer waits for your label",),
    "policies": ("No policy was published yet",),
    "local_tier": ("No policy was published yet",),
    "system": (
        "No data plane told of itself", "no control plane has run a job yet",
        "Last shipment: never",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def beside(shared_database: Database) -> Iterator[ControlPlane]:
    """The control plane of a store in which nothing is yet."""
    with control_plane(shared_database) as beside:
        yield beside


@pytest.mark.parametrize(
    ("url", "matter", "remedy"), [UNNAMED, UNREACHABLE], ids=["unnamed", "unreachable"]
)
@pytest.mark.parametrize("name", PAGES)
def test_no_store_is_a_line(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, matter: str, remedy: str
) -> None:
    test = page(monkeypatch, name, Database(url, {"penstock_dashboard": url}))
    assert not test.exception
    (line,) = {each.value for each in test.error}  # the same of each part of the page
    for words in WITHOUT_STORE.get(name, (matter, remedy)):
        assert plain(words) in line


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_store_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, shared_database: Database, beside: ControlPlane, name: str
) -> None:
    test = page(monkeypatch, name, shared_database, beside)
    assert not test.exception
    assert not test.error
    for words in YET[name]:
        assert words in said(test)


def test_a_store_without_views_and_one_without_the_role_name_the_remedy(
    monkeypatch: pytest.MonkeyPatch, empty_database: Database
) -> None:
    known = empty_database.url_for("penstock_dashboard")
    for url in (known, known.replace("penstock_dashboard", "nobody")):
        test = page(monkeypatch, "overview", Database(url, {"penstock_dashboard": url}))
        assert not test.exception
        assert "penstock db upgrade" in test.error[0].value
