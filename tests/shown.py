"""A page of the dashboard run by Streamlit's AppTest, with the control plane's API beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import streamlit as st
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

import dashboard
from controlplane import api, keys
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from dashboard import control

PAGES = Path(str(dashboard.__file__)).with_name("pages")


def shown(name: str, url: str, monkeypatch: pytest.MonkeyPatch, **parameters: str) -> AppTest:
    """A page as it is after its first run, on a store, at an address with these parameters."""
    monkeypatch.setenv("DATABASE_URL_DASHBOARD", url)
    st.cache_data.clear()
    test = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=120)
    for parameter, value in parameters.items():
        test.query_params[parameter] = value
    return test.run()


@contextmanager
def api_beside(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The control plane's API, which pages call in the name of an operator."""
    store = partial(connect, database.url_for("penstock_controlplane"))
    with store() as connection:
        key = keys.create(connection, tenant="tests", scopes=["read", "admin"]).reveal()
    with Leader(database.url_for("penstock_controlplane")) as leader:
        parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings())
        headers = {"Authorization": f"Bearer {key}"}
        with TestClient(api.build(parts), headers=headers) as client:
            monkeypatch.setattr(control, "_client", lambda: client)
            monkeypatch.setenv(control.URL_VARIABLE, "http://testserver")
            monkeypatch.setenv("PENSTOCK_OPERATOR_KEY", key)
            yield client
