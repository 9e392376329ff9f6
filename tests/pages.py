"""The dashboard's pages in-process, with the control plane's API beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import streamlit as st
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

import dashboard
from controlplane import api, keys, planes
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from dashboard import control, person
from dashboard.person import Person
from dashboard.roles import KEY_VARIABLES, Role

APP = Path(str(dashboard.__file__)).with_name("app.py")


@contextmanager
def control_plane(database: Database) -> Iterator[TestClient]:
    """Its API on this store, as an HTTP client."""
    url = database.url_for("penstock_controlplane")
    store = partial(connect, url)
    with Leader(url) as leader:
        parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings())
        with TestClient(api.build(parts), raise_server_exceptions=False) as client:
            yield client


def page(
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
    client: TestClient,
    name: str,
    role: Role = "operator",
    **parameters: str,
) -> AppTest:
    """A page as somebody of this role sees it; ``parameters`` are those of its address."""
    with connect(database.url_for("penstock_controlplane")) as connection:
        key = keys.create(
            connection, tenant="t", scopes=planes.DASHBOARD_SCOPES[role], name=f"{name} {role}"
        )
    monkeypatch.setenv("DATABASE_URL_DASHBOARD", database.url_for("penstock_dashboard"))
    monkeypatch.setenv(control.URL_VARIABLE, str(client.base_url))
    monkeypatch.setenv(KEY_VARIABLES[role], key.reveal())
    monkeypatch.setattr(control, "_client", lambda: client)
    monkeypatch.setattr(person, "current", lambda: Person("ann", role))
    st.cache_data.clear()
    test = AppTest.from_file(str(APP), default_timeout=120).switch_page(f"pages/{name}.py")
    for parameter, value in parameters.items():
        test.query_params[parameter] = value
    return test.run()


def said(test: AppTest) -> str:
    """All words of a page, in the order of their kinds."""
    kinds = (test.markdown, test.caption, test.info, test.error, test.success, test.warning)
    return "\n".join(str(each.value) for kind in kinds for each in kind)
