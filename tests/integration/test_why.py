"""Why this answer: what the API tells of one decision, of its texts, and of two policies."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

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
from dataplane.contract.records import Completion, Decision
from tests.decided import decided, keep
from tests.policies import DOUBTFUL, SURE, policy

NOW = datetime.now(UTC)
FIRST = policy("always_cloud")
DECIDES = policy("cascade", version=2, parent=1, reason="cheaper by judging")
LIVE = policy("always_local", version=3, parent=2, reason="local will do")
PROMPT = 'What is the capital of "France"?'


@pytest.fixture(scope="module")
def store(shared_database: Database) -> Connect:
    return partial(connect, shared_database.url_for("penstock_controlplane"))


@pytest.fixture(scope="module")
def asked(shared_database: Database, store: Connect) -> Iterator[TestClient]:
    """The API on a store with three policies, of which the third is live."""
    with store() as connection:
        for each in (FIRST, DECIDES, LIVE):
            push.publish(connection, each)
    with Leader(shared_database.url_for("penstock_controlplane")) as leader:
        parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings())
        with TestClient(api.build(parts), raise_server_exceptions=False) as client:
            yield client


@pytest.fixture(scope="module")
def auth(store: Connect) -> dict[str, dict[str, str]]:
    with store() as connection:
        scopes: tuple[Scope, ...] = ("read", "label", "admin")
        made = {
            each: keys.create(connection, tenant="t", scopes=[each], name=each) for each in scopes
        }
    return {each: {"Authorization": f"Bearer {key.reveal()}"} for each, key in made.items()}


@pytest.fixture(scope="module")
def ids(shared_database: Database) -> dict[str, str]:
    """A query that escalated, and one whose local answer was kept."""
    found = {}
    for name, score in (("doubtful", DOUBTFUL), ("sure", SURE)):
        records = decided(DECIDES, PROMPT, score, NOW - timedelta(minutes=5))
        keep(shared_database.url, records)
        found[name] = str(next(each.id for each in records if isinstance(each, Decision)))
    return found


def told(
    asked: TestClient, auth: dict[str, dict[str, str]], path: str, scope: str = "read"
) -> dict[str, Any]:
    answer = asked.get(path, headers=auth[scope])
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_decision_is_told_with_what_was_believed_of_it(
    asked: TestClient, auth: dict[str, dict[str, str]], ids: dict[str, str]
) -> None:
    found = told(asked, auth, f"/v1/decisions/{ids['doubtful']}")
    assert found["matches"] is True
    assert [step["action"] for step in found["records"]["steps"]] == [
        "call:local", "judge", "call:cloud", "reply",
    ]  # fmt: skip
    beliefs = found["beliefs"]
    assert beliefs["p_hat"] == {"local": 0.5, "cloud": 0.5}
    escalation = found["records"]["steps"][2]
    assert beliefs["cutoff"] == pytest.approx(escalation["threshold"])
    assert DOUBTFUL < beliefs["cutoff"] < SURE
    judge = beliefs["judge"]
    assert len(judge["f1"]) == len(judge["f0"]) == len(judge["edges"]) + 1
    assert 0 < beliefs["expected_usd"]["local"] < beliefs["expected_usd"]["cloud"]


@pytest.mark.parametrize(("name", "served"), [("doubtful", "cloud"), ("sure", "local")])
def test_what_others_would_have_done_is_what_they_do(
    asked: TestClient, auth: dict[str, dict[str, str]], ids: dict[str, str], name: str, served: str
) -> None:
    found = told(asked, auth, f"/v1/decisions/{ids[name]}")
    others = {each["name"]: each for each in found["alternatives"]}
    tiers = {name: each["tier"] for name, each in others.items()}
    assert tiers == {
        "the one that decided": served, "the version before": "cloud",
        "the live one now": "local", "always-cloud": "cloud", "always-local": "local",
    }  # fmt: skip
    assert others["the one that decided"]["same"] is True
    assert others["the one that decided"]["judged"] is True
    paid = found["records"]["completion"]["cost_usd"]
    assert others["the one that decided"]["usd"] == pytest.approx(paid)
    assert others["always-local"]["usd"] < others["always-cloud"]["usd"]
    assert others["always-cloud"]["same"] is (served == "cloud")


def test_a_decision_that_never_completed_has_no_alternatives(
    shared_database: Database, asked: TestClient, auth: dict[str, dict[str, str]]
) -> None:
    records = decided(DECIDES, "cut short", SURE, NOW - timedelta(minutes=4))
    keep(shared_database.url, [each for each in records if not isinstance(each, Completion)])
    id_ = next(each.id for each in records if isinstance(each, Decision))
    found = told(asked, auth, f"/v1/decisions/{id_}")
    assert (found["alternatives"], found["records"]["completion"]) == ([], None)
    assert found["beliefs"] is not None


def test_one_whose_policy_is_gone_keeps_its_records(
    shared_database: Database, asked: TestClient, auth: dict[str, dict[str, str]]
) -> None:
    gone = DECIDES.model_copy(update={"version": 99})
    records = decided(gone, "of long ago", SURE, NOW - timedelta(minutes=3))
    keep(shared_database.url, records)
    id_ = next(each.id for each in records if isinstance(each, Decision))
    found = told(asked, auth, f"/v1/decisions/{id_}")
    assert (found["beliefs"], found["steps"], found["matches"]) == (None, [], False)
    assert len(found["records"]["steps"]) == 3


def test_texts_are_read_and_searched_by_an_operator_alone(
    asked: TestClient, auth: dict[str, dict[str, str]], ids: dict[str, str]
) -> None:
    path = f"/v1/decisions/{ids['doubtful']}/texts"
    texts = {each["key"]: each["body"] for each in told(asked, auth, path, "admin")["texts"]}
    assert texts["answer:cloud"] == "Paris."
    assert next(iter(texts)) == "prompt"
    for scope in ("read", "label"):
        for place in (path, "/v1/texts?containing=france"):
            assert asked.get(place, headers=auth[scope]).status_code == 403


@pytest.mark.parametrize(
    ("words", "count"), [("france", 2), ('of "France"', 2), ("Paris.", 1), ("%aris", 0)]
)
def test_a_search_finds_words_as_they_were_typed_and_says_how_far_it_looked(
    asked: TestClient, auth: dict[str, dict[str, str]], ids: dict[str, str], words: str, count: int
) -> None:
    answer = asked.get("/v1/texts", params={"containing": words}, headers=auth["admin"]).json()
    assert len(answer["decisions"]) == count
    assert set(answer["decisions"]) <= set(ids.values())
    assert answer["looked"] >= 5
    assert answer["back_to"] is not None


def test_two_policies_are_compared_in_words_and_by_what_is_expected(
    asked: TestClient, auth: dict[str, dict[str, str]], ids: dict[str, str]
) -> None:
    found = told(asked, auth, "/v1/policies/1/diff/2")
    assert "segment default: always_cloud -> cascade" in found["differences"]
    assert found["reason"] == "cheaper by judging"
    (expected,) = found["prospects"]
    assert expected["segment"] == "default"
    assert expected["queries"] >= 2
    assert expected["usd_after"] < expected["usd_before"]
    assert told(asked, auth, "/v1/policies/2/diff/2")["differences"] == []
    assert asked.get("/v1/policies/2/diff/77", headers=auth["read"]).status_code == 404


def test_a_freeze_keeps_its_reason(
    asked: TestClient, auth: dict[str, dict[str, str]], store: Connect
) -> None:
    for frozen in (True, False):
        said = {"frozen": frozen, "reason": "an audit"}
        assert asked.post("/v1/freeze", json=said, headers=auth["admin"]).status_code == 200
    with store() as connection:
        rows = connection.execute("SELECT body FROM events WHERE kind = 'freeze'").fetchall()
    assert [row["body"]["reason"] for row in rows] == ["an audit"] * 2
