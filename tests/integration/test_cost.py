"""Spend of two periods from the tables: by the API, and by `penstock cost`."""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from controlplane import api, keys, push
from controlplane.access import Access
from controlplane.audit.labels import Terms
from controlplane.connection import Connect
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from controlplane.spending import compare
from controlplane.sql import SQL
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import Attempt, Completion, Decision, millisecond
from dataplane.contract.terms import TierTerms
from dataplane.features import FEATURE_VERSION
from tests.command import Run
from tests.policies import CLOUD, LOCAL, policy
from tests.traffic import Shipping

NOW = datetime.now(UTC)
LAST_WEEK, THIS_WEEK = NOW - timedelta(days=10), NOW - timedelta(days=3)
FREE = LOCAL.replaced(billing="none")
DEARER = CLOUD.replaced(output_usd_per_mtok=20.0)
START = policy("cascade", tiers=(FREE, CLOUD))


class Past:
    """Queries as the data plane records them, charged by the policy that decided."""

    def __init__(self, url: str) -> None:
        self._shipping = Shipping(url)
        self._numbers = itertools.count()

    def query(
        self,
        at: datetime,
        *calls: tuple[str, str, int, int],
        live: PolicyDocument = START,
        judged_usd: float = 0.0,
        segment: str = "default",
        completed: bool = True,
    ) -> None:
        """One, with its calls: tier, purpose, prompt and completion tokens."""
        number = next(self._numbers)
        id_ = UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | number)
        of: dict[str, Any] = {"decision_id": id_, "at": millisecond(id_)}
        decision = Decision(
            id=id_, at=of["at"], tenant="default", request_id="r", policy_version=live.version,
            feature_version=FEATURE_VERSION, features={"chars": 9, "buckets": [1]},
            segment=segment, eligible=("local", "cloud"), seed=1,
        )  # fmt: skip
        terms = {tier.name: tier for tier in live.tiers}
        attempts = [
            attempt(of, terms[tier], purpose, index, prompt, completion)
            for index, (tier, purpose, prompt, completion) in enumerate(calls)
        ]
        if judged_usd:
            verdict = attempt(of, FREE, "judge", 0, 0, 0)
            attempts.append(verdict.model_copy(update={"cost_usd": judged_usd}))
        end = Completion(
            **of, final_tier="cloud", escalated=False, cost_usd=0.0, latency_ms=1.0,
            overhead_ms=0.1, status="ok",
        )  # fmt: skip
        self._shipping.ship(decision, *attempts, *[end] * completed)


def attempt(
    of: dict[str, Any], terms: TierTerms, purpose: str, index: int, prompt: int, completion: int
) -> Attempt:
    return Attempt.model_validate(
        of
        | {
            "index": index, "tier": terms.name, "model": "m", "purpose": purpose,
            "prompt_tokens": prompt, "completion_tokens": completion, "tokens_exact": True,
            "cost_usd": terms.cost_usd(prompt, completion), "latency_ms": 1.0, "finish": "stop",
        }
    )  # fmt: skip


@pytest.fixture
def store(store: Connect) -> Connect:
    with store() as connection:
        push.publish(connection, START)
        dearer = policy("cascade", tiers=(FREE, DEARER), version=2, parent=1)
        push.publish(connection, dearer)
    return store


@pytest.fixture
def past(database: Database) -> Past:
    return Past(database.url)


@pytest.fixture
def client(store: Connect, leader: Leader) -> Iterator[TestClient]:
    parts = api.Parts(store, Access(store), leader, Terms(), LearnerSettings())
    with TestClient(api.build(parts), raise_server_exceptions=False) as client:
        with store() as connection:
            key = keys.create(connection, tenant="tests", scopes=["read"], name="reader")
        client.headers["Authorization"] = f"Bearer {key.reveal()}"
        yield client


def effects(store: Connect, days: float = 7, before: float = 7) -> dict[str, float]:
    with store() as connection:
        found = compare(connection, days, before, NOW)
    return {name: usd for name, usd in found.drift.effects.items() if abs(usd) > 1e-15}


CALL = ("cloud", "serve", 1000, 100)
CALL_USD = CLOUD.cost_usd(1000, 100)


def test_a_dearer_provider_is_price_alone(store: Connect, past: Past) -> None:
    """The policy's prices tell a prompt's dollars from an answer's."""
    dearer = policy("cascade", tiers=(FREE, DEARER), version=2, parent=1)
    for _ in range(4):
        past.query(LAST_WEEK, ("local", "serve", 500, 50), CALL)
        past.query(THIS_WEEK, ("local", "serve", 500, 50), CALL, live=dearer)
    assert effects(store) == {"price": pytest.approx(4 * 100 * 10e-6)}


def test_longer_answers_are_tokens_alone(store: Connect, past: Past) -> None:
    past.query(LAST_WEEK, CALL)
    past.query(THIS_WEEK, ("cloud", "serve", 1000, 300))
    assert effects(store) == {"tokens": pytest.approx(200 * 10e-6)}


def test_each_purpose_has_its_name(store: Connect, past: Past) -> None:
    for _ in range(2):
        past.query(LAST_WEEK, CALL)
    past.query(THIS_WEEK, CALL, judged_usd=0.25)
    past.query(THIS_WEEK, CALL, ("cloud", "shadow", 1000, 100))
    assert effects(store) == {
        "judging": pytest.approx(0.25), "shadowing": pytest.approx(CALL_USD)
    }  # fmt: skip


def test_what_the_policy_did_is_routing_and_what_came_is_mix(store: Connect, past: Past) -> None:
    local = ("local", "serve", 1000, 100)
    for _ in range(2):
        past.query(LAST_WEEK, CALL)
        past.query(LAST_WEEK, local, segment="easy")
    past.query(THIS_WEEK, CALL)
    past.query(THIS_WEEK, local)
    past.query(THIS_WEEK, local, segment="easy")
    past.query(THIS_WEEK, local, segment="easy")
    assert effects(store) == {"routing": pytest.approx(-CALL_USD)}
    past.query(THIS_WEEK, CALL)
    past.query(THIS_WEEK, local)
    found = effects(store)
    assert set(found) == {"volume", "mix", "routing"}
    assert sum(found.values()) == pytest.approx(0)


def test_only_what_lies_within_is_counted_and_unequal_spans_are_scaled(
    store: Connect, past: Past
) -> None:
    past.query(NOW - timedelta(days=15), CALL, CALL)
    past.query(NOW - timedelta(days=13), CALL)
    past.query(NOW - timedelta(days=8), CALL)
    past.query(NOW - timedelta(days=6), CALL)
    assert effects(store, before=7) == {"volume": pytest.approx(-CALL_USD)}
    with store() as connection:
        found = compare(connection, 1.0, 7.0, NOW - timedelta(days=6) + timedelta(hours=1))
    assert found.drift.before_usd == pytest.approx(CALL_USD * 2 / 7)
    assert found.drift.after_usd == pytest.approx(CALL_USD)


def test_calls_count_once_a_query_of_their_segment_is_completed(store: Connect, past: Past) -> None:
    past.query(LAST_WEEK, CALL)
    past.query(THIS_WEEK, CALL)
    past.query(THIS_WEEK, CALL, segment="new", completed=False)
    assert effects(store) == {}
    past.query(THIS_WEEK, CALL, segment="new")
    assert sum(effects(store).values()) == pytest.approx(2 * CALL_USD)


def test_the_api_and_the_command_say_the_same(past: Past, client: TestClient, run: Run) -> None:
    for _ in range(2):
        past.query(LAST_WEEK, CALL)
    past.query(THIS_WEEK, CALL)
    told = client.get("/v1/cost/drift", params={"days": 7, "before": 7}).json()
    assert told["change_usd"] == pytest.approx(-CALL_USD)
    assert told["effects"]["volume"] == pytest.approx(-CALL_USD)
    assert [cell["tier"] for cell in told["cells"]] == ["cloud"]
    assert told["queries"] == [{"segment": "default", "before": 2, "after": 1}]
    assert told["sentence"] == (
        "Spend fell by 0.0035 USD (-50.0%), to 0.0035 in 7 days, chiefly by fewer queries "
        f"(-0.0035 USD). The earlier period has no queries before {LAST_WEEK:%Y-%m-%d %H:%M} UTC."
    )
    printed = json.loads(run("cost", "--json"))
    assert printed.pop("at") > told.pop("at")
    assert printed == told
    shown = run("cost", "--days", "7")
    assert shown.startswith(told["sentence"])
    rows = [line.split() for line in shown.splitlines()]
    assert ["spent", "before", "0.0070"] in rows
    assert ["volume", "-0.0035"] in rows
    assert ["price", "+0.0000"] in rows


def test_without_a_past_there_is_nothing_to_compare_with(
    past: Past, client: TestClient, run: Run
) -> None:
    empty = client.get("/v1/cost/drift").json()
    assert (empty["change_usd"], empty["cells"]) == (0, [])
    assert run("cost").startswith("Spend was 0 USD in 7 days; nothing is known of the time before")
    past.query(THIS_WEEK, CALL)
    assert "nothing to compare with yet" in client.get("/v1/cost/drift").json()["sentence"]


@pytest.mark.parametrize("wrong", [{"days": 0}, {"days": "nan"}, {"before": -1}, {"before": 1e9}])
def test_what_is_no_span_is_refused(client: TestClient, wrong: dict[str, Any]) -> None:
    assert client.get("/v1/cost/drift", params=wrong).status_code == 400


def test_more_than_can_be_read_in_time_is_refused_with_a_remedy(
    store: Connect, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SQL, "spend", "SELECT pg_sleep(5)")
    monkeypatch.setattr(api, "READ_S", 0.05)
    answer = client.get("/v1/cost/drift")
    assert answer.status_code == 503
    assert "within 0.05 s: compare shorter ones" in answer.json()["error"]["message"]
