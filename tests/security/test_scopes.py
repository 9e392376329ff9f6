"""Every route, with every scope: who is let in is exactly what the table says."""

from typing import get_args

import pytest
from fastapi.routing import APIRoute

from dataplane import chat
from dataplane.api import SCOPES, document
from dataplane.contract.keys import Scope
from tests.fronts import Front

FRONT = Front()
LOCKED = {401, 403}


@pytest.mark.parametrize("scope", [*get_args(Scope), "nothing"])
@pytest.mark.parametrize("route", SCOPES, ids=" ".join)
def test_a_route_lets_in_its_own_scope_only(route: tuple[str, str], scope: str) -> None:
    method, path = route
    status = FRONT.ask(method, path, key=scope, content=b"{}").status_code
    needed = SCOPES[route]
    if needed in (None, scope):
        assert status not in LOCKED
    else:
        assert status == 403


@pytest.mark.parametrize("route", SCOPES, ids=" ".join)
@pytest.mark.parametrize("key", [None, "", "guessed"])
def test_without_a_key_only_the_open_routes_answer(route: tuple[str, str], key: str | None) -> None:
    status = FRONT.ask(*route, key=key, content=b"{}").status_code
    assert (status == 401) == (SCOPES[route] is not None)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/v1/chat/completions/", "//healthz", "/"])
def test_what_is_not_in_the_table_is_not_served(path: str) -> None:
    assert FRONT.ask("GET", path).status_code == 404


def test_every_served_path_is_in_the_schema_and_in_the_table() -> None:
    plain = FRONT.app.plain
    served = {
        (method, route.path)
        for route in plain.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    } | {("POST", chat.PATH)}
    described = {
        (method.upper(), path)
        for path, operations in document(plain)["paths"].items()
        for method in operations
    }
    assert served == described == set(SCOPES)
    assert len(plain.routes) == len(served) - 1


def test_the_schema_names_each_routes_scope() -> None:
    paths = document(FRONT.app.plain)["paths"]
    assert paths[chat.PATH]["post"]["security"] == [{"key": ["inference"]}]
    assert paths["/healthz"]["get"]["security"] == []
