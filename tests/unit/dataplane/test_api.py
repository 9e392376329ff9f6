from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dataplane.contract.records import (
    Attempt,
    Decision,
    JudgeScore,
    Outcome,
    Text,
    millisecond,
    new_decision_id,
)
from dataplane.errors import ApiError
from dataplane.feedback import Feedback, outcome
from dataplane.tiers.base import TierError, Usage
from dataplane.tiers.fake import FakeTier
from tests.fronts import Front
from tests.policies import DOUBTFUL


def test_the_models_are_the_tiers_and_the_one_that_lets_the_policy_decide() -> None:
    listed = Front().ask("GET", "/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["penstock", "local", "cloud"]


def test_machines_are_told_how_things_are() -> None:
    front = Front()
    assert front.ask("GET", "/healthz", key=None).json() == {"status": "ok"}
    assert front.ask("GET", "/readyz", key=None).status_code == 200
    front.chat()
    front.chat(model="nobody")
    metrics = front.ask("GET", "/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'penstock_requests_total{status="ok",tier="local"} 1' in metrics.text
    assert 'penstock_errors_total{status="404"} 1' in metrics.text
    assert 'penstock_overhead_seconds_bucket{le="+Inf"} 1' in metrics.text


def test_the_schema_describes_the_chat_route() -> None:
    schema = Front().ask("GET", "/openapi.json", key=None).json()
    chat = schema["paths"]["/v1/chat/completions"]["post"]
    reference = chat["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "messages" in schema["components"]["schemas"][reference.rsplit("/")[-1]]["required"]


def test_feedback_is_one_vote_however_often_it_is_given() -> None:
    front = Front()
    id_ = front.chat().json()["id"]
    votes = [
        front.ask("POST", "/v1/feedback", json={"decision_id": id_, "value": 0.5}, key="feedback")
        for _ in range(3)
    ]
    assert {vote.status_code for vote in votes} == {202}
    outcomes = front.kept.of(Outcome)
    assert len({one.id for one in outcomes}) == 1
    (decision,) = front.kept.of(Decision)
    assert outcomes[0].decision_id == decision.id
    assert outcomes[0].at == decision.at
    assert (outcomes[0].source, outcomes[0].labeller) == ("feedback", "key-feedback")
    assert (outcomes[0].key, outcomes[0].value) == ("served", 0.5)


@pytest.mark.parametrize(
    "body",
    [
        {"value": 1},
        {"decision_id": "nonsense", "value": 1},
        {"decision_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "value": 1},
        {"decision_id": "0198c0de-0000-7000-8000-000000000000", "value": 1.5},
        {"decision_id": "0198c0de-0000-7000-8000-000000000000", "value": 1, "else": 1},
    ],
)
def test_feedback_that_says_nothing_is_refused(body: Any) -> None:
    front = Front()
    assert front.ask("POST", "/v1/feedback", json=body).status_code == 422
    assert front.kept.of(Outcome) == []


def test_feedback_on_a_decision_of_the_future_is_refused() -> None:
    id_ = new_decision_id()
    early = millisecond(id_) - timedelta(hours=1)
    with pytest.raises(ApiError) as refused:
        outcome(Feedback(decision_id=id_, value=1), "k", now=early)
    assert refused.value.param == "decision_id"


def call(tier: str, id_: UUID | None = None, **fields: Any) -> dict[str, Any]:
    id_ = id_ or new_decision_id()
    return {
        "decision_id": str(id_),
        "at": millisecond(id_).isoformat(),
        "tier": tier,
        "policy_version": 1,
        "messages": [{"role": "user", "content": "1 + 1 ="}],
        **fields,
    }


def test_a_shadow_call_of_the_local_tier_is_judged_charged_and_kept() -> None:
    front = Front(local=FakeTier("local", ["2"], logprob=DOUBTFUL))
    response = front.ask("POST", "/v1/shadow", json=call("local"), key="admin")
    (attempt,) = front.kept.of(Attempt)
    assert response.json() == {"status": "done", "cost_usd": attempt.cost_usd}
    assert (attempt.purpose, attempt.tier, attempt.finish) == ("shadow", "local", "stop")
    (score,) = front.kept.of(JudgeScore)
    assert (score.purpose, score.raw, score.bin) == ("shadow", DOUBTFUL, 0)
    assert score.calibrated < 0.5
    (text,) = front.kept.of(Text)
    assert (text.key, text.body) == ("answer:local", "2")
    assert len(front.kept.frames) == 1


def test_a_shadow_call_of_the_cloud_is_not_judged() -> None:
    front = Front()
    front.ask("POST", "/v1/shadow", json=call("cloud"))
    assert front.kept.of(JudgeScore) == []
    assert front.kept.of(Attempt)[0].cost_usd > 0


def test_a_shadow_is_asked_with_the_options_of_its_query() -> None:
    front = Front()
    options = {"temperature": 0, "max_tokens": 48}
    front.ask("POST", "/v1/shadow", json=call("cloud", options=options))
    (asked,) = front.cloud.requests  # type: ignore[attr-defined]
    assert asked == {**options, "messages": [{"role": "user", "content": "1 + 1 ="}]}


def test_a_failed_shadow_call_costs_what_it_used() -> None:
    spent = Usage(100, 0, exact=False)
    refused = TierError("status", "no", status=400, usage=spent)
    front = Front(cloud=FakeTier("cloud", [refused]))
    response = front.ask("POST", "/v1/shadow", json=call("cloud"))
    assert response.json()["status"] == "failed"
    assert response.json()["cost_usd"] == front.kept.of(Attempt)[0].cost_usd > 0


def test_a_shadow_call_that_may_succeed_later_says_so() -> None:
    gone = TierError("connect", "away")
    front = Front(cloud=FakeTier("cloud", [gone]))
    assert front.ask("POST", "/v1/shadow", json=call("cloud")).status_code == 503
    rests = front.ask("POST", "/v1/shadow", json=call("cloud"))
    assert rests.status_code == 503
    assert len(front.cloud.requests) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "fields", [{"tier": "nowhere"}, {"at": datetime(2026, 1, 1, tzinfo=UTC).isoformat()}]
)
def test_a_shadow_call_that_fits_no_decision_is_refused(fields: Any) -> None:
    front = Front()
    response = front.ask("POST", "/v1/shadow", json=call("local") | fields)
    assert response.status_code == 400
    assert front.kept.frames == []


def test_with_text_none_a_shadow_answer_leaves_no_words() -> None:
    front = Front(keep="none")
    front.ask("POST", "/v1/shadow", json=call("local"))
    assert front.kept.of(Text) == []


def test_an_applications_word_is_the_truth_and_its_own_route() -> None:
    front = Front()
    body = {"decision_id": front.chat().json()["id"], "value": 1.0}
    assert front.ask("POST", "/v1/outcomes", json=body, key="feedback").status_code == 403
    assert front.ask("POST", "/v1/outcomes", json=body, key="label").status_code == 202
    assert front.ask("POST", "/v1/feedback", json=body, key="feedback").status_code == 202
    told, said = front.kept.of(Outcome)
    assert (told.source, told.labeller) == ("ground_truth", "application:key-label")
    assert (said.source, said.labeller) == ("feedback", "key-feedback")
    assert told.id != said.id
