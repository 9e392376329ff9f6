"""`penstock policy`, and the API's routes for the same words."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from controlplane import keys, proposals, push, registry, states
from controlplane.connection import Connect
from controlplane.cycle import FROZEN
from dataplane.contract.publication import Part
from tests.command import Run
from tests.policies import policy

FIRST = policy("always_cloud", reason="the first")
SECOND = policy("cascade", version=2, parent=1, reason="cascading is cheaper", lambda_=0.3)
ESTIMATE = """
INSERT INTO estimates (policy_version, "window", n, quality, lo, hi, detail)
VALUES (2, 'structural_policy', 900, .92, .9, .94, '{}')
"""


@pytest.fixture
def store(store: Connect) -> Connect:
    with store() as connection:
        push.publish(connection, FIRST)
        push.publish(connection, SECOND)
        connection.execute(ESTIMATE)
    return store


@pytest.fixture
def admin(store: Connect) -> dict[str, str]:
    with store() as connection:
        key = keys.create(connection, tenant="t", scopes=["admin", "read"], name="admin")
    return {"Authorization": f"Bearer {key.reveal()}"}


def in_force(store: Connect) -> tuple[Part, ...]:
    with store() as connection:
        newest = registry.latest(connection)
    assert newest is not None
    return newest.parts


def frozen(store: Connect) -> bool:
    with store() as connection:
        found: bool = states.load_value(connection, FROZEN, default=False)
    return found


def kinds(store: Connect) -> list[str]:
    with store() as connection:
        return [row["kind"] for row in connection.execute("SELECT kind FROM events ORDER BY id")]


def test_versions_are_listed_shown_and_told_apart(store: Connect, run: Run) -> None:
    assert in_force(store) == (Part(version=2),)
    listed = run("policy", "list")
    assert "cascading is cheaper" in listed
    assert "taken by 0, in force for 100%" in listed
    told = json.loads(run("policy", "list", "--json", "--last", "1"))
    assert [(row["version"], row["in_force"]) for row in told] == [(2, "in force for 100%")]
    assert "segment default: cascade, lambda 0.3" in run("policy", "show", "2")
    assert json.loads(run("policy", "show", "1", "--json"))["reason"] == "the first"
    said = run("policy", "diff", "1", "2")
    assert "segment default: always_cloud -> cascade" in said
    assert "segment default: lambda 0.2 -> 0.3" in said
    assert run("policy", "diff", "2", "2") == "v2 and v2 decide alike\n"
    assert json.loads(run("policy", "diff", "2", "2", "--json")) == []


def test_a_version_that_is_not_stored_is_one_line(store: Connect, run: Run) -> None:
    assert "policy version 7 is not stored" in run("policy", "show", "7", code=2)


def test_a_proposal_by_its_mode_is_promoted_and_rolled_back(store: Connect, run: Run) -> None:
    assert "nothing was proposed yet" in run("policy", "status")
    assert "v3 is proposed in the place of v2" in run("policy", "propose", "--mode", "route")
    assert "route in place of cascade" in run("policy", "status")
    told = json.loads(run("policy", "status", "--json"))
    assert (told["stage"], told["margin"]) == ("candidate", pytest.approx(0.02))
    assert "v3 is live" in run("policy", "promote", "3", "-r", "measured elsewhere", "--yes")
    assert in_force(store)[0] == Part(version=3)
    assert [part.version for part in in_force(store)] == [3, 2]
    assert "v2 is in force" in run("policy", "rollback", "2", "-r", "customers complain", "--yes")
    assert in_force(store) == (Part(version=2),)
    with store() as connection:
        found = proposals.read(connection)
    assert found is not None
    assert (found.stage, found.why.endswith("customers complain")) == ("rolled_back", True)
    assert kinds(store) == ["proposal", "proposal", "proposal", "rollback"]


def test_a_proposal_from_a_file_is_refused(store: Connect, run: Run, tmp_path: Path) -> None:
    document = policy("cascade_route", version=3, parent=2, reason="mine", lambda_=0.3)
    (tmp_path / "mine.json").write_bytes(document.to_json())
    run("policy", "propose", str(tmp_path / "mine.json"))
    assert "v3 is refused" in run("policy", "refuse", "3", "-r", "a mistake", "--yes")
    assert in_force(store) == (Part(version=2),)
    (tmp_path / "bad.json").write_text("{}")
    assert "bad.json: " in run("policy", "propose", str(tmp_path / "bad.json"), code=2)
    assert "no-such" in run("policy", "propose", "no-such", code=2)
    assert "either a file or --mode" in run("policy", "propose", code=2)


def test_pinned_the_learner_moves_nothing(store: Connect, run: Run) -> None:
    said = run("policy", "pin", "1", "-r", "for the audit", "--yes")
    assert "segment default: cascade -> always_cloud" in said
    assert (in_force(store), frozen(store)) == ((Part(version=1),), True)
    run("policy", "unfreeze")
    assert not frozen(store)
    run("policy", "freeze")
    assert frozen(store)
    assert kinds(store) == ["pin", "freeze", "freeze"]


def test_the_api_takes_the_same_words(
    store: Connect, client: TestClient, admin: dict[str, str]
) -> None:
    assert client.get("/v1/proposal", headers=admin).json() == {"proposal": None}
    body = {"mode": "route"}
    made = client.post("/v1/proposal", json=body, headers=admin).json()
    assert (made["version"], made["stage"]) == (3, "candidate")
    again = client.post("/v1/proposal", json=body, headers=admin)
    assert again.status_code == 409
    assert "on its way" in again.json()["error"]["message"]
    why = {"reason": "measured elsewhere"}
    moved = client.post("/v1/proposal/3/live", json=why, headers=admin)
    assert moved.json()["stage"] == "live"
    assert client.get("/v1/proposal", headers=admin).json()["proposal"]["stage"] == "live"
    late = client.post("/v1/proposal/3/refused", json=why, headers=admin)
    assert late.status_code == 400
    back = client.post("/v1/policies/2/restore?pin=true", json=why, headers=admin)
    assert back.json() == {"live": 2, "pinned": True}
    assert (in_force(store), frozen(store)) == ((Part(version=2),), True)
    odd: list[tuple[dict[str, object], str]] = [
        ({}, "either a document or a mode"),
        ({"document": {"version": 4}}, "document: "),
    ]
    for asked, words in odd:
        refused = client.post("/v1/proposal", json=asked, headers=admin)
        assert refused.status_code == 400
        assert words in refused.json()["error"]["message"]
    assert client.post("/v1/policies/9/restore", json=why, headers=admin).status_code == 404


def test_a_document_by_the_api_is_proposed(
    store: Connect, client: TestClient, admin: dict[str, str]
) -> None:
    document = policy("cascade_route", version=3, parent=2, reason="mine", lambda_=0.3)
    body = {"document": json.loads(document.to_json())}
    assert client.post("/v1/proposal", json=body, headers=admin).json()["version"] == 3
    with store() as connection:
        stored = registry.load(connection, 3)
    assert (stored.kind, stored.author) == ("proposal", "operator")
    assert stored.issued_at > datetime(2026, 2, 1, tzinfo=UTC)
