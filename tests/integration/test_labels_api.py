"""The control plane's HTTP API on real tables: scopes, labels, explanations, objective, freeze."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from controlplane import api, explain, keys, push, registry
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import Connect
from controlplane.cycle import Cycle
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from controlplane.observe import PostgresLog
from dataplane.contract.keys import SCOPES, Scope
from dataplane.contract.terms import AuditTerms, CostCeiling
from tests.policies import DOUBTFUL, SURE, policy
from tests.scripted_learner import scripted
from tests.traffic import AUDIT, PostgresTraffic, decided, decision_id, query

START = policy("cascade", audit=AuditTerms(rate=0.1))


@pytest.fixture
def store(store: Connect) -> Connect:
    with store() as connection:
        push.publish(connection, START)
    return store


@pytest.fixture
def app(database: Database, store: Connect) -> Iterator[FastAPI]:
    with Leader(database.url_for("penstock_controlplane")) as leader:
        yield api.build(api.Parts(store, Access(store), leader, Terms(), LearnerSettings()))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def auth(store: Connect) -> dict[Scope, dict[str, str]]:
    """Headers by the one scope that their key has."""
    with store() as connection:
        made = {
            scope: keys.create(connection, tenant="tests", scopes=[scope], name=scope)
            for scope in sorted(SCOPES)
        }
    return {scope: {"Authorization": f"Bearer {key.reveal()}"} for scope, key in made.items()}


def observe(store: Connect) -> None:
    with store() as connection:
        PostgresLog(connection).new({})


def routes() -> list[APIRoute]:
    return [route for route in api.router.routes if isinstance(route, APIRoute)]


def scope_of(route: APIRoute) -> str:
    return str((route.openapi_extra or {}).get(api.SCOPE))


def test_every_route_says_who_may_call_it() -> None:
    assert {scope_of(route) for route in routes()} <= SCOPES | {api.PUBLIC}
    assert {r.path for r in routes() if scope_of(r) == api.PUBLIC} == {"/healthz", "/readyz"}


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.path)
def test_a_route_lets_in_its_own_scope_only(
    client: TestClient, auth: dict[Scope, dict[str, str]], route: APIRoute
) -> None:
    path = route.path.replace("{decision_id}", str(decision_id(1)))
    method = min(route.methods or {"GET"})
    wanted = scope_of(route)
    if wanted == api.PUBLIC:
        assert client.request(method, path).status_code == 200
        return
    assert client.request(method, path).status_code == 401
    for scope, header in auth.items():
        status = client.request(method, path, headers=header, json={}).status_code
        assert (status == 403) == (scope != wanted), f"{scope} at {path}: {status}"
        assert status != 401


def test_a_route_without_a_scope_is_refused_to_everybody(
    app: FastAPI, auth: dict[Scope, dict[str, str]]
) -> None:
    forgotten = APIRouter(dependencies=list(api.router.dependencies))
    forgotten.add_api_route("/forgotten", lambda: "told")
    app.include_router(forgotten)
    with TestClient(app) as client:
        for header in auth.values():
            assert client.get("/forgotten", headers=header).status_code == 403


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer nonsense", "Basic abc", f"Bearer pk_{'0' * 16}_{'A' * 43}"],
)
def test_a_bad_key_is_refused_in_openais_shape(client: TestClient, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = client.get("/v1/status", headers=headers)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "authentication_error"


def test_a_wrong_secret_and_a_revoked_key_are_refused(
    client: TestClient, store: Connect, auth: dict[Scope, dict[str, str]]
) -> None:
    good = auth["read"]["Authorization"]
    assert (
        client.get("/v1/status", headers={"Authorization": good[:-4] + "AAAA"}).status_code == 401
    )
    clock = iter([0.0, 0.0, 1.0, 10.0, 10.0])
    access = Access(store, lambda: next(clock))
    assert access.holder(good) is not None
    with store() as connection:
        keys.revoke(connection, good.split("_")[1])
    assert access.holder(good) is not None  # for as long as the copy is kept
    assert access.holder(good) is None


def test_a_label_by_http_from_lease_to_learning(
    client: TestClient, store: Connect, traffic: PostgresTraffic, auth: dict[Scope, dict[str, str]]
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(store)
    lease = {"limit": 5, "labeller": "verifier"}
    answer = client.post("/v1/labels/lease", json=lease, headers=auth["label"]).json()
    (task,) = answer["tasks"]
    assert set(task) == {"decision_id", "at", "prompt", "answers", "leased_until"}
    assert task["answers"] == [{"key": "a", "text": "local says 7"}]
    label = {
        "decision_id": task["decision_id"],
        "at": task["at"],
        "labeller": "verifier",
        "verdicts": [{"key": "a", "value": 1.0}],
    }
    for _ in range(3):
        sent = client.post("/v1/labels", json=label, headers=auth["label"])
        assert (sent.status_code, sent.json()) == (200, {"status": "labelled"})
    with store() as connection:
        (labelled,) = PostgresLog(connection).labelled()
    assert labelled.right == {"local": 1.0}


def test_the_funnel_by_http_tells_no_more_than_its_counts(
    client: TestClient, store: Connect, traffic: PostgresTraffic, auth: dict[Scope, dict[str, str]]
) -> None:
    empty = client.get("/v1/labels/funnel", headers=auth["read"])
    assert (empty.status_code, empty.json()) == (200, {"funnel": []})
    traffic.complete(query(1), [AUDIT])
    observe(store)
    client.post("/v1/labels/lease", json={"labeller": "anna"}, headers=auth["label"])
    *_, stage = client.get("/v1/labels/funnel", headers=auth["read"]).json()["funnel"]
    assert stage == {
        "window": "all", "segment": "default", "drawn": 1, "waiting": 0, "leased": 1,
        "labelled": 0, "unsure": 0, "expired": 0, "double": 0, "disagreeing": 0,
        "adjudicated": 0, "worst": None, "pairs": 0, "kappa": None,
    }  # fmt: skip


def test_a_references_labels_count_once_the_objective_says_so(
    client: TestClient, store: Connect, traffic: PostgresTraffic, auth: dict[Scope, dict[str, str]]
) -> None:
    sources = ["ground_truth", "verifier", "reference"]
    proxy = "reference:big"
    for number, accepts in enumerate((None, sources)):
        if accepts:
            asked = client.post("/v1/objective", json={"accepts": accepts}, headers=auth["admin"])
            assert "a reference model's labels taken for the truth" in asked.json()["reason"]
        traffic.complete(query(number), [AUDIT])
        observe(store)
        lease = {"labeller": proxy}
        (task,) = client.post("/v1/labels/lease", json=lease, headers=auth["label"]).json()["tasks"]
        label = {
            "decision_id": task["decision_id"],
            "at": task["at"],
            "labeller": proxy,
            "verdicts": [{"key": "a", "value": 1.0}],
        }
        assert client.post("/v1/labels", json=label, headers=auth["label"]).status_code == 200
    with store() as connection:
        found = connection.execute("SELECT decision_id, source FROM labels").fetchall()
    assert found == [{"decision_id": decision_id(1), "source": "reference"}]
    refused = client.post("/v1/objective", json={"accepts": ["verifier"]}, headers=auth["admin"])
    assert "people's labels are always accepted" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"decision_id": str(decision_id(2))}, 404, "unknown_task"),
        ({"labeller": "somebody"}, 409, "foreign_lease"),
        ({"verdicts": [{"key": "z", "value": 1.0}]}, 400, "invalid_verdict"),
        ({"verdicts": [{"key": "a", "value": 1.1}]}, 400, "invalid_value"),
        ({"verdicts": [{"key": "a", "value": "NaN"}]}, 400, "invalid_value"),
        ({"extra": 1}, 400, "invalid_value"),
        ({"at": "yesterday"}, 400, "invalid_value"),
    ],
)
def test_a_bad_label_is_refused_with_its_reason(
    client: TestClient,
    store: Connect,
    traffic: PostgresTraffic,
    auth: dict[Scope, dict[str, str]],
    change: dict[str, Any],
    status: int,
    code: str,
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(store)
    client.post("/v1/labels/lease", json={"labeller": "anna"}, headers=auth["label"])
    label = {
        "decision_id": str(decision_id(1)),
        "at": query(1).at.isoformat(),
        "labeller": "anna",
        "verdicts": [{"key": "a", "value": 1.0}],
    }
    refused = client.post("/v1/labels", json=label | change, headers=auth["label"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    with store() as connection:
        assert connection.execute("SELECT FROM outcomes").fetchall() == []


def test_a_decision_is_explained_bit_for_bit(
    client: TestClient, store: Connect, traffic: PostgresTraffic, auth: dict[Scope, dict[str, str]]
) -> None:
    for number, score in enumerate([SURE, DOUBTFUL]):
        traffic.shipping.ship(*decided(number, START, score, seed=number))
    for number in range(2):
        path = f"/v1/decisions/{decision_id(number)}"
        told = client.get(path, headers=auth["read"]).json()
        assert told["matches"] is True
        assert told["records"]["decision"]["id"] == str(decision_id(number))
        assert all(step["logged"]["pmf"] == step["replayed"]["pmf"] for step in told["steps"])
    missing = client.get(f"/v1/decisions/{decision_id(9)}", headers=auth["read"])
    assert missing.status_code == 404
    with store() as connection:
        assert explain.replay_all(connection) == (2, 0)


def test_a_decision_under_a_policy_that_is_gone_does_not_match(
    traffic: PostgresTraffic, store: Connect
) -> None:
    traffic.shipping.ship(*decided(1, START.model_copy(update={"version": 9}), SURE, seed=1))
    with store() as connection:
        assert explain.replay_all(connection) == (1, 1)


def test_a_new_objective_is_published_and_the_learner_follows_it(
    client: TestClient,
    database: Database,
    store: Connect,
    traffic: PostgresTraffic,
    auth: dict[Scope, dict[str, str]],
) -> None:
    asked = {"target_quality": 0.8}
    published = client.post("/v1/objective", json=asked, headers=auth["admin"])
    assert (published.status_code, published.json()["version"]) == (200, 2)
    with store() as connection:
        live = registry.live(connection)
    assert live.objective.model_dump() == START.objective.model_dump() | asked
    assert (live.author, live.kind, live.parent) == ("operator", "proposal", 1)
    traffic.complete(query(1))
    with Leader(database.url_for("penstock_controlplane")) as leader:
        leader.leads()
        Cycle(store, leader, scripted(0.3)).run(query(1).at)
    with store() as connection:
        assert registry.live(connection).objective == live.objective
    told = client.get("/v1/policies", headers=auth["read"]).json()
    assert (told["live"], [p["version"] for p in told["policies"]]) == (3, [3, 2, 1])


def test_a_ceiling_and_a_price_of_waiting_may_be_asked_for(
    client: TestClient, store: Connect, auth: dict[Scope, dict[str, str]]
) -> None:
    asked = {"ceiling_usd_per_query": 0.001, "latency_usd_per_s": 0.01}
    published = client.post("/v1/objective", json=asked, headers=auth["admin"]).json()
    assert "ceiling 0.001 USD a query, waiting 0.01 USD a second" in published["reason"]
    with store() as connection:
        assert registry.live(connection).objective == CostCeiling(**asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"target_quality": 2}, "target_quality"),
        ({"target_quality": 0.9, "ceiling_usd_per_query": 1}, "does not go with a cost ceiling"),
    ],
)
def test_an_impossible_objective_is_refused(
    client: TestClient, auth: dict[Scope, dict[str, str]], asked: dict[str, float], says: str
) -> None:
    refused = client.post("/v1/objective", json=asked, headers=auth["admin"])
    assert refused.status_code == 400
    assert says in refused.json()["error"]["message"]


def test_freezing_shows_in_the_status(
    client: TestClient, auth: dict[Scope, dict[str, str]]
) -> None:
    for frozen in (True, False):
        client.post("/v1/freeze", json={"frozen": frozen}, headers=auth["admin"])
        told = client.get("/v1/status", headers=auth["read"]).json()
        assert told["frozen"] is frozen
    assert told["live"]["version"] == 1
    assert [event["kind"] for event in told["events"]] == ["freeze", "freeze"]


def test_a_write_carries_the_person_for_whom_its_key_says_it_speaks(
    client: TestClient, auth: dict[Scope, dict[str, str]]
) -> None:
    zoe = auth["admin"] | {"X-Penstock-Person": "zo%C3%AB@example.org"}
    key = auth["admin"]["Authorization"].split("_")[1]
    who = f"zo\u00eb@example.org (key {key})"
    told = client.post("/v1/objective", json={"target_quality": 0.8}, headers=zoe).json()
    assert told["reason"].endswith(f"({who})")
    client.post("/v1/freeze", json={"frozen": True}, headers=zoe)
    why = {"reason": "it was better"}
    assert client.post("/v1/policies/1/restore", json=why, headers=zoe).status_code == 200
    events = client.get("/v1/status", headers=auth["read"]).json()["events"]
    assert [event["body"].get("by") or event["body"]["reason"] for event in events[:2]] == [
        f"{who}: it was better", who,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["x" * 101, "bob (key 1)", "a%0Ab", "%FF", "a,b", " a", "a  b"])
def test_what_is_no_persons_name_is_refused(
    client: TestClient, auth: dict[Scope, dict[str, str]], name: str
) -> None:
    headers = auth["admin"] | {"X-Penstock-Person": name.replace(" ", "%20")}
    refused = client.post("/v1/freeze", json={"frozen": True}, headers=headers)
    assert refused.status_code == 400
    assert "X-Penstock-Person: a name of at most" in refused.json()["error"]["message"]
    assert client.get("/v1/status", headers=auth["read"]).json()["frozen"] is False


def test_a_labeller_passes_a_task_over_and_is_told_of_agreement(
    client: TestClient, store: Connect, traffic: PostgresTraffic, auth: dict[Scope, dict[str, str]]
) -> None:
    traffic.complete(query(1), [AUDIT])
    observe(store)
    lease = {"labeller": "anna"}
    answer = client.post("/v1/labels/lease", json=lease, headers=auth["label"]).json()
    (task,) = answer["tasks"]
    which = lease | {name: task[name] for name in ("decision_id", "at")}
    for returned in (True, False):
        told = client.post("/v1/labels/return", json=which, headers=auth["label"])
        assert (told.status_code, told.json()) == (200, {"returned": returned})
    skipped = lease | {"skipped": [task["decision_id"]]}
    answer = client.post("/v1/labels/lease", json=skipped, headers=auth["label"]).json()
    assert (answer["tasks"], answer["waiting"]) == ([], 0)
    agreement = client.get("/v1/labels/agreement", headers=auth["label"]).json()
    assert agreement == {"pairs": 0, "alike": None, "kappa": None}


def test_a_certificate_is_asked_for_and_withdrawn(
    client: TestClient, store: Connect, auth: dict[Scope, dict[str, str]]
) -> None:
    """While none holds everything goes to the cloud; null, said, withdraws the wish."""
    wanted = {"wrong_acceptances": {"limit": 0.03}}
    told = client.post("/v1/objective", json=wanted, headers=auth["admin"]).json()
    assert (told["mode"], told["routing_threshold"]) == ("always_cloud", 1.0)
    assert "at most 3.0% lost to wrong acceptances at 90%" in told["reason"]
    other = client.post("/v1/objective", json={"target_quality": 0.8}, headers=auth["admin"])
    assert "lost to wrong acceptances" in other.json()["reason"]
    gone = client.post("/v1/objective", json={"wrong_acceptances": None}, headers=auth["admin"])
    assert "wrong acceptances" not in gone.json()["reason"]
    assert client.get("/v1/status", headers=auth["read"]).json()["certificates"] == []
    wrong = {"wrong_acceptances": {"limit": 2.0}}
    assert client.post("/v1/objective", json=wrong, headers=auth["admin"]).status_code == 400
