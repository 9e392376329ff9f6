"""The dashboard's pages in-process, where one is given with the control plane's API beside them."""

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import streamlit as st
from fastapi import FastAPI
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

import dashboard
from controlplane import api, planes
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from dashboard import control, person
from dashboard.person import Person
from dashboard.roles import Role
from dashboard.store import URL_VARIABLE

APP = Path(str(dashboard.__file__)).with_name("app.py")


def _listed() -> tuple[str, ...]:
    """What the dashboard offers; read as text, for to import it is to draw it."""
    (pages,) = (
        node.value
        for node in ast.parse(APP.read_text("utf-8")).body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "PAGES"
    )
    assert isinstance(pages, ast.Dict)
    return tuple(ast.literal_eval(key) for key in pages.keys if key)


PAGES = _listed()


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Its API as an HTTP client, and the key of each role that may look."""

    client: TestClient
    keys: Mapping[str, str]

    def reached(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the dashboard, with the keys."""
        monkeypatch.setattr(control, "_client", lambda: self.client)
        monkeypatch.setenv(control.URL_VARIABLE, str(self.client.base_url))
        for role, key in self.keys.items():
            monkeypatch.setenv(planes.key_variable(role), key)


@contextmanager
def control_plane(database: Database) -> Iterator[ControlPlane]:
    """Of this store, for as long as the context lasts."""
    store = partial(connect, database.url_for("penstock_controlplane"))
    with (
        serving(database) as app,
        planes.dashboard_keys(store) as keys,
        TestClient(app, raise_server_exceptions=False) as client,
    ):
        yield ControlPlane(client, keys)


@contextmanager
def serving(database: Database) -> Iterator[FastAPI]:
    """The control plane's API on this store."""
    url = database.url_for("penstock_controlplane")
    store = partial(connect, url)
    with Leader(url) as leader:
        yield api.build(api.Parts(store, Access(store), leader, Terms(), LearnerSettings()))


def page(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    database: Database,
    control_plane: ControlPlane | None = None,
    role: Role = "operator",
    **parameters: str,
) -> AppTest:
    """A page as Ann sees it, who has this role; ``parameters`` are those of its address."""
    monkeypatch.setenv(URL_VARIABLE, database.url_for("penstock_dashboard"))
    monkeypatch.delenv(control.URL_VARIABLE, raising=False)
    if control_plane:
        control_plane.reached(monkeypatch)
    monkeypatch.setattr(person, "current", lambda: Person("ann", role))
    st.cache_data.clear()
    test = AppTest.from_file(str(APP), default_timeout=120).switch_page(f"pages/{name}.py")
    for parameter, value in parameters.items():
        test.query_params[parameter] = value
    return test.run()


def press(test: AppTest, label: str) -> AppTest:
    """The page after its one button of this label was pressed."""
    (button,) = (each for each in test.button if each.label == label)
    return button.click().run()


def said(test: AppTest) -> str:
    """All words of a page, in the order of their kinds."""
    kinds = (
        test.subheader, test.markdown, test.caption, test.info, test.error, test.success,
        test.warning,
    )  # fmt: skip
    lines = [str(each.value) for kind in kinds for each in kind]
    lines += [f"{label}: {value}, {below}" for label, (value, below) in metrics(test).items()]
    return "\n".join(lines)


def metrics(test: AppTest) -> dict[str, tuple[str, str]]:
    """By its label each metric's value, and what is said below it."""
    return {each.label: (each.value, each.delta) for each in test.metric}


def charts(test: AppTest) -> int:
    """How many the page draws."""
    return len(test.get("vega_lite_chart")) + len(test.get("arrow_vega_lite_chart"))
