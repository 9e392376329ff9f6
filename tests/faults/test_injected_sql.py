"""Statements of others in every parameter, header and field of the control plane's API.

All of its SQL binds what it is given, on the paths of errors too: nothing is run, nothing fails.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from controlplane import api, keys, push
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import Connect, connect
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from dataplane.contract.keys import Scope
from tests.policies import policy
from tests.traffic import PostgresTraffic, query

STATEMENTS = (
    "'; DROP TABLE decisions; --",
    "x' OR '1'='1",
    '"; DELETE FROM labels; --',
    "1); TRUNCATE events; --",
    "' UNION SELECT secret_sha256::text FROM api_keys --",
    "$$; SELECT pg_sleep(30); $$",
    "%(decision_id)s %s {0} \\\\",
    "2026-01-01'::timestamptz; DROP TABLE policies; --",
)
RELATIONS = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'v')"
SCOPES: list[Scope] = ["read", "label", "admin"]


@pytest.fixture
def store(database: Database) -> Connect:
    return partial(connect, database.url_for("penstock_controlplane"))


@pytest.fixture
def client(database: Database, store: Connect) -> Iterator[TestClient]:
    """One of somebody who may call every route, on a store with a policy and three queries."""
    with store() as connection:
        push.publish(connection, policy("cascade"))
        key = keys.create(connection, tenant="tests", scopes=SCOPES, name="tests").reveal()
    traffic = PostgresTraffic(database.url)
    for number in range(3):
        traffic.complete(query(number))
    with Leader(database.url_for("penstock_controlplane")) as leader:
        assert leader.leads()
        parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings())
        headers = {"Authorization": f"Bearer {key}"}
        with TestClient(api.build(parts), headers=headers, raise_server_exceptions=False) as made:
            yield made


def filled(schema: Mapping[str, Any], known: Mapping[str, Any], said: str) -> Any:
    """A value of this shape, each text in it ``said``."""
    if "$ref" in schema:
        return filled(known[schema["$ref"].rpartition("/")[2]], known, said)
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        return filled(choice, known, said)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: filled(each, known, said) for name, each in fields.items()} or {said: said}
    if kind == "array":
        return [filled(schema.get("items", {}), known, said)]
    return {"integer": 1, "number": 0.5, "boolean": True}.get(str(kind), said)


def calls(client: TestClient, said: str) -> Iterator[tuple[str, Any]]:
    """Every route, with the statement wherever a text may be."""
    described = client.app.openapi()  # type: ignore[attr-defined] # FastAPI's
    known = described.get("components", {}).get("schemas", {})
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            places = route.get("parameters", [])
            at = {each["name"]: said for each in places if each["in"] == "path"}
            asked = {each["name"]: said for each in places if each["in"] == "query"}
            body = route.get("requestBody", {}).get("content", {}).get("application/json")
            sent = {"json": filled(body["schema"], known, said)} if body else {}
            url = path.format(**dict.fromkeys(at, "1"))
            for address in {url, path.format(**at)}:
                answer = client.request(method, address, params=asked, **sent)
                yield f"{method} {address}", answer
                answer = client.request(method, address, params=dict.fromkeys(asked, 1), **sent)
                yield f"{method} {address}", answer


def tables(database: Database) -> dict[str, int]:
    """How many rows each has that is not for the API to write."""
    kept = ("decisions", "attempts", "completions", "labels", "api_keys")
    with psycopg.connect(database.url) as connection:
        rows = {
            name: (connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() or (0,))[
                0
            ]
            for name in kept
        }
        found = connection.execute("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'v')")
        return rows | {"relations": (found.fetchone() or (0,))[0]}


def test_no_statement_of_others_is_run(client: TestClient, database: Database) -> None:
    before, answers = tables(database), Counter[int]()
    with psycopg.connect(database.url) as owner:
        found = owner.execute("SELECT secret_sha256::text FROM api_keys").fetchall()
    digests = [digest for (digest,) in found]
    assert digests
    for said in STATEMENTS:
        for asked, answer in calls(client, said):
            answers[answer.status_code] += 1
            assert answer.status_code < 500, (asked, answer.text)
            assert not any(digest in answer.text for digest in digests), asked
            assert "syntax error" not in answer.text, asked
    assert tables(database) == before
    assert answers[200] > 100
    assert answers[400] > 100


def test_no_key_of_others_is_a_statement(client: TestClient) -> None:
    for said in STATEMENTS:
        for key in (said, f"pk_{said}_{said}", f"pk_0123456789abcdef_{said}"):
            answer = client.get("/v1/status", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 401


def test_what_is_said_is_kept_as_it_was_said(client: TestClient, store: Connect) -> None:
    for said in STATEMENTS:
        headers = {"X-Penstock-Person": "anna"}
        body = {"frozen": True, "reason": said}
        assert client.post("/v1/freeze", json=body, headers=headers).status_code == 200
        with store() as connection:
            row = connection.execute("SELECT body FROM events ORDER BY id DESC LIMIT 1").fetchone()
        assert row is not None
        assert row["body"]["reason"] == said
