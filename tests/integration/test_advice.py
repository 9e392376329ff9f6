"""Advice from the stored state: by the API, and by `penstock advise`."""

import json

import pytest
from fastapi.testclient import TestClient

from controlplane import keys, push, states
from controlplane.connection import Connect
from controlplane.cycle import LEARNER
from tests.command import Run
from tests.unit.controlplane.learn.test_advise import USELESS, live, taught
from tests.unit.dataplane.policies import CERTIFIED


@pytest.fixture
def store(store: Connect) -> Connect:
    with store() as connection:
        push.publish(connection, live(judge_usd=5e-5))
    return store


@pytest.fixture(scope="module")
def state() -> str:
    """A learner whose traffic is told apart by its prompts."""
    return taught(telling_prompt=True, separation=USELESS).to_json()


@pytest.fixture
def reader(store: Connect) -> dict[str, str]:
    with store() as connection:
        key = keys.create(connection, tenant="tests", scopes=["read"], name="reader")
    return {"Authorization": f"Bearer {key.reveal()}"}


def remember(store: Connect, state: str) -> None:
    with store() as connection:
        states.save(connection, LEARNER, state)


def test_before_any_label_there_is_nothing_to_advise(
    client: TestClient, reader: dict[str, str], run: Run
) -> None:
    told = client.get("/v1/advice", headers=reader).json()
    assert told["advice"]["mode"] is None
    assert told["verdict"].startswith("nothing to advise yet")
    assert run("advise").startswith("nothing to advise yet")


def test_the_api_and_the_command_give_the_same_advice(
    store: Connect, state: str, client: TestClient, reader: dict[str, str], run: Run
) -> None:
    remember(store, state)
    told = client.get("/v1/advice", headers=reader).json()
    assert (told["policy_version"], told["serves"]) == (1, "always_cloud")
    assert told["advice"]["mode"] == "route"
    assert {each["mode"] for each in told["advice"]["options"]} == {
        "route", "cascade", "cascade_route", "always_cloud"
    }  # fmt: skip
    assert told["verdict"].startswith("routing, do not judge: ")
    printed = json.loads(run("advise", "--json"))
    assert printed.pop("at") > told.pop("at")
    assert printed == told
    shown = run("advise")
    assert shown.startswith(told["verdict"])
    assert "policy v1 serves always_cloud" in shown
    with store() as connection:
        assert states.load(connection, LEARNER) == state


def test_a_missing_certificate_is_told(
    store: Connect, state: str, client: TestClient, reader: dict[str, str]
) -> None:
    remember(store, state)
    with store() as connection:
        asked = {"objective": CERTIFIED, "version": 2, "parent": 1}
        push.publish(connection, live(judge_usd=5e-5).model_copy(update=asked))
    told = client.get("/v1/advice", headers=reader).json()
    assert told["verdict"].startswith("routing, do not judge: ")
    assert told["verdict"].endswith("no local answer is accepted: always the cloud.")


def test_a_state_of_another_version_is_one_line(
    store: Connect, state: str, client: TestClient, reader: dict[str, str]
) -> None:
    remember(store, json.dumps(json.loads(state) | {"checksum": "0"}))
    refused = client.get("/v1/advice", headers=reader)
    assert refused.status_code == 503
    assert "delete the row" in refused.json()["error"]["message"]
