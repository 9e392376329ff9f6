import json
import math
from datetime import UTC, datetime, timedelta, timezone
from time import time_ns
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dataplane.contract import records as contract
from dataplane.contract.records import (
    KINDS,
    Attempt,
    Completion,
    Decision,
    Draw,
    JudgeScore,
    Outcome,
    Record,
    Step,
    StepState,
    Text,
    millisecond,
    new_decision_id,
    outcome_id,
)

ID = UUID("0199c0de-0000-7000-8000-000000000001")
AT = millisecond(ID)
CHILD: dict[str, Any] = {"decision_id": ID, "at": AT}

EXAMPLES: dict[type[Record], dict[str, Any]] = {
    Decision: {
        "id": ID,
        "at": AT,
        "tenant": "acme",
        "request_id": "r-1",
        "policy_version": 3,
        "feature_version": 1,
        "features": {"chars": 4, "buckets": [1, 7]},
        "segment": "default",
        "eligible": ("local", "cloud"),
        "seed": 2**63 - 1,
    },
    Step: CHILD
    | {
        "index": 0,
        "state": StepState(),
        "pmf": {"call:local": 0.9, "call:cloud": 0.1},
        "action": "call:local",
        "propensity": 0.9,
    },
    Attempt: CHILD
    | {
        "index": 0,
        "tier": "local",
        "model": "sandbox",
        "purpose": "serve",
        "prompt_tokens": 20,
        "completion_tokens": 4,
        "tokens_exact": True,
        "cost_usd": 0.0,
        "latency_ms": 12.5,
        "finish": "stop",
    },
    JudgeScore: CHILD
    | {
        "index": 0,
        "purpose": "serve",
        "judge": "logprob",
        "tier": "local",
        "raw": -0.25,
        "bin": 3,
        "calibrated": 0.75,
    },
    Completion: CHILD
    | {
        "final_tier": "local",
        "escalated": False,
        "cost_usd": 0.001,
        "latency_ms": 20.0,
        "overhead_ms": 0.5,
        "status": "ok",
    },
    Draw: CHILD | {"kind": "audit", "probability": 0.1},
    Outcome: CHILD
    | {
        "id": outcome_id(ID, "local", "verifier", "v1"),
        "key": "local",
        "source": "verifier",
        "value": 1.0,
        "labeller": "v1",
        "observed_at": AT,
    },
    Text: CHILD | {"key": "prompt", "body": "[]"},
}


def record(kind: type[Record], /, **changes: Any) -> Record:
    return kind(**EXAMPLES[kind] | changes)


def test_every_kind_has_an_example() -> None:
    assert set(EXAMPLES) == set(KINDS.values())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_json_round_trip(kind: type[Record]) -> None:
    original = record(kind)
    assert kind.model_validate_json(original.model_dump_json()) == original


@pytest.mark.parametrize("kind", EXAMPLES)
def test_closed_and_immutable(kind: type[Record]) -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        record(kind, surprise=1)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(record(kind), "at", AT)  # noqa: B010  the type checker knows that it may not


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize(
    "at",
    [
        AT + timedelta(milliseconds=1),
        AT + timedelta(microseconds=1),
        AT.replace(tzinfo=None),
        AT.astimezone(timezone(timedelta(hours=2))),
    ],
    ids=["later", "between milliseconds", "naive", "not UTC"],
)
def test_at_is_the_decisions_millisecond_in_utc(kind: type[Record], at: datetime) -> None:
    with pytest.raises(ValidationError):
        record(kind, at=at)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Decision, {"id": uuid4()}),
        (Decision, {"seed": 2**63}),
        (Decision, {"seed": -1}),
        (Decision, {"policy_version": 0}),
        (Decision, {"tenant": ""}),
        (Decision, {"features": {"x": math.nan}}),
        (Step, {"pmf": {"call:local": 0.9}}),
        (Step, {"pmf": {"call:local": 0.9, "call:cloud": 0.1 + 1e-8}}),
        (Step, {"pmf": {"call:local": 1.1, "call:cloud": -0.1}, "propensity": 1.1}),
        (Step, {"propensity": 0.9 + 1e-16 * 8}),
        (Step, {"action": "judge"}),
        (Step, {"action": "guess", "pmf": {"guess": 1.0}, "propensity": 1.0}),
        (Step, {"values": {"judge": math.inf}}),
        (Step, {"state": {"answered": [], "score": math.nan, "judged": True}}),
        (Step, {"threshold": math.nan}),
        (Attempt, {"cost_usd": -0.01}),
        (Attempt, {"cost_usd": math.inf}),
        (Attempt, {"latency_ms": -1.0}),
        (Attempt, {"prompt_tokens": 2**31}),
        (Attempt, {"purpose": "fun"}),
        (JudgeScore, {"raw": -math.inf}),
        (JudgeScore, {"calibrated": 1.01}),
        (JudgeScore, {"bin": -1}),
        (Completion, {"cost_usd": math.nan}),
        (Completion, {"status": "fine"}),
        (Completion, {"final_tier": None}),
        (Draw, {"probability": 0.0}),
        (Draw, {"kind": "shadow"}),
        (Draw, {"tier": "cloud"}),
        (Outcome, {"value": 1.5}),
        (Outcome, {"id": uuid4()}),
        (Outcome, {"labeller": "v2"}),
        (Outcome, {"observed_at": AT.replace(tzinfo=None)}),
        (Outcome, {"observed_at": AT.astimezone(timezone(timedelta(hours=-5)))}),
        (Text, {"key": "answer:"}),
    ],
)
def test_refuses(kind: type[Record], changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        record(kind, **changes)


def test_pmf_may_be_off_by_rounding() -> None:
    tenths = {f"call:t{i}": 0.1 for i in range(10)}
    assert sum(tenths.values()) != 1
    record(Step, pmf=tenths, action="call:t3", propensity=0.1)


def test_what_postgres_cannot_store_is_replaced() -> None:
    text = record(Text, body="a\0b\ud800c")
    assert isinstance(text, Text)
    assert text.body == "a\ufffdb?c"


def test_a_new_id_carries_the_present() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert before <= millisecond(new_decision_id()) <= datetime.now(UTC)


def test_new_ids_ascend_and_differ() -> None:
    ids = [new_decision_id() for _ in range(1000)]
    assert ids == sorted(set(ids))


def test_a_new_id_goes_back_with_a_clock_that_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = time_ns() - 2 * 86_400 * 10**9
    monkeypatch.setattr(contract, "time_ns", lambda: now_ns)
    back = {new_decision_id() for _ in range(100)}
    assert len(back) == 100
    (at,) = {millisecond(each) for each in back}
    assert abs(at.timestamp() - now_ns / 1e9) <= 0.001


@given(st.integers(0, 253_402_300_799_999))
def test_millisecond_is_exact_to_the_year_9999(milliseconds: int) -> None:
    instant = millisecond(UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62))
    assert (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == milliseconds
    assert instant.microsecond % 1000 == 0


def test_an_id_past_the_year_9999_is_a_value_error() -> None:
    far = UUID(int=(1 << 48) - 1 << 80 | 7 << 76 | 2 << 62)
    with pytest.raises(ValidationError, match="no representable time"):
        record(Draw, decision_id=far)


def test_the_same_vote_is_the_same_row_and_any_other_is_not() -> None:
    votes = {
        outcome_id(decision, key, source, labeller)
        for decision in (ID, new_decision_id())
        for key in ("local", "cloud")
        for source in ("verifier", "feedback")
        for labeller in ("a", "b")
        for _ in range(3)
    }
    assert len(votes) == 16


def test_a_record_of_json_compares_with_what_was_written() -> None:
    step = record(Step, pmf={"reply": 1 / 3, "judge": 2 / 3}, action="reply", propensity=1 / 3)
    assert json.loads(step.model_dump_json())["propensity"] == 1 / 3
