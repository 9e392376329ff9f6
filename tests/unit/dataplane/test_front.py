import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane import wire
from dataplane.access import Principal
from dataplane.contract.records import Completion, Decision
from dataplane.contract.sections import Limits
from dataplane.errors import ApiError
from dataplane.front import Occupancy
from dataplane.spool import SpoolFull
from dataplane.tiers.base import TierError
from dataplane.tiers.fake import FakeTier
from tests.fronts import Front, chat

CHAT = "/v1/chat/completions"


def code(response: Any) -> tuple[int, str | None]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["code"]


def test_a_chat_is_answered_with_its_decision_in_the_headers() -> None:
    front = Front()
    response = front.chat(user="conversation-7")
    assert response.status_code == 200
    body = response.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "from local"}
    assert body["usage"]["total_tokens"] == 11
    (decision,) = front.kept.of(Decision)
    assert response.headers["x-penstock-decision-id"] == str(decision.id)
    assert body["id"] == f"chatcmpl-{decision.id}"
    assert response.headers["x-penstock-tier"] == "local"
    assert response.headers["x-penstock-policy"] == "1"
    assert response.headers["x-request-id"] == decision.request_id
    cost_usd = float(response.headers["x-penstock-cost-usd"])
    assert cost_usd == pytest.approx(front.kept.of(Completion)[0].cost_usd, abs=1e-9)
    assert (decision.tenant, decision.conversation) == ("tenant-1", "conversation-7")


def test_the_clients_request_id_is_echoed_and_logged() -> None:
    front = Front()
    said = {"x-request-id": "abc-1"}
    response = front.ask("POST", CHAT, json=chat(), headers=said)
    assert response.headers["x-request-id"] == "abc-1"
    assert front.kept.of(Decision)[0].request_id == "abc-1"


def test_a_request_id_that_cannot_be_logged_is_replaced() -> None:
    response = Front().ask("GET", "/healthz", headers={"x-request-id": "a" * 1000})
    assert response.headers["x-request-id"].startswith("req_")


def test_a_conversation_may_be_named_by_header() -> None:
    front = Front()
    front.ask("POST", CHAT, json=chat(user="u"), headers={"x-penstock-conversation": "h"})
    assert front.kept.of(Decision)[0].conversation == "h"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ({}, "model"),
        ({"model": 7, "messages": []}, "model"),
        (chat(messages=[]), "messages"),
        (chat(messages=[{"role": "user"}]), "messages.0"),
        (chat(messages=[{"role": "emperor", "content": "x"}]), "messages.0.role"),
        (chat(messages=[{"role": "user", "content": [{"type": "text"}]}]), None),
        (chat(n=2), "n"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens="9"), "max_tokens"),
        (chat(temperature=3), "temperature"),
        (chat(stop=["a"] * 5), "stop"),
        (chat(stream="yes"), "stream"),
    ],
)
def test_a_body_that_cannot_be_served_is_refused_by_its_name(body: Any, param: str | None) -> None:
    front = Front()
    response = front.ask("POST", CHAT, json=body)
    assert response.status_code == 400
    assert param is None or response.json()["error"]["param"] == param
    assert front.kept.frames == []


def test_what_is_not_json_is_refused() -> None:
    response = Front().ask("POST", CHAT, content=b'{"model": ')
    assert code(response) == (400, "invalid_json")


def test_deep_nesting_is_refused() -> None:
    deep = b'{"a":' * 100 + b"1" + b"}" * 100
    assert code(Front().ask("POST", CHAT, content=deep)) == (400, "too_deep")
    endless = b"[" * 200_000
    assert Front().ask("POST", CHAT, content=endless).status_code == 400


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    front = Front(limits=Limits(body_bytes=2048))
    taken = 0

    async def chunks() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 1024

    response = front.ask("POST", CHAT, content=chunks())
    assert code(response) == (413, "request_too_large")
    assert taken <= 4
    assert code(front.ask("POST", CHAT, content=b"x" * 4096))[0] == 413


def test_a_body_that_does_not_come_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_S", 0.05)
    front = Front()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)

    assert code(front.ask("POST", CHAT, content=slow())) == (408, "request_timeout")
    assert front.kept.frames == []


def test_unknown_fields_reach_the_tier_and_tokens_are_clamped() -> None:
    front = Front(limits=Limits(max_tokens=50))
    front.chat(response_format={"type": "json_object"}, max_tokens=9000)
    (request,) = front.local.requests  # type: ignore[attr-defined]
    assert request["response_format"] == {"type": "json_object"}
    assert request["max_tokens"] == 50


@pytest.mark.parametrize("key", [None, "wrong", "Basic all"])
def test_without_a_known_key_nothing_is_served(key: str | None) -> None:
    front = Front()
    response = front.ask("POST", CHAT, json=chat(), key=key)
    assert code(response) == (401, "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"
    assert front.kept.frames == []


def test_unknown_routes_and_methods() -> None:
    front = Front()
    assert code(front.ask("GET", "/v1/nothing")) == (404, "not_found")
    wrong = front.ask("GET", CHAT)
    assert code(wrong) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


def test_an_unknown_model_is_told_apart() -> None:
    assert code(Front().chat(model="gpt-17")) == (404, "model_not_found")


def test_a_failure_of_every_tier_names_its_decision() -> None:
    gone = TierError("connect", "cloud: cannot connect to http://secret-host/")
    front = Front(local=FakeTier("local", [gone]), cloud=FakeTier("cloud", [gone]))
    response = front.chat()
    assert code(response) == (502, "upstream_error")
    assert response.headers["x-penstock-decision-id"] == str(front.kept.of(Decision)[0].id)
    assert "secret-host" not in response.text


def events(response: Any) -> list[Any]:
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] if line == "data: [DONE]" else orjson.loads(line[6:]) for line in lines]


@pytest.mark.parametrize("model", ["cloud", "local", "penstock"])
@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_spells_the_answer_in_chunks(model: str, usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    response = Front().chat(model=model, stream=True, **options)
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, done = events(response)
    assert done == "[DONE]"
    assert {chunk["id"] for chunk in chunks} == {
        f"chatcmpl-{response.headers['x-penstock-decision-id']}"
    }
    if usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 11
        assert all(chunk["usage"] is None for chunk in chunks)
    else:
        assert all("usage" not in chunk for chunk in chunks)
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert said == ("from cloud" if model == "cloud" else "from local")
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


class Breaking(FakeTier):
    async def stream(self, request: Any, deadline: float) -> Any:
        yield self._delta({"content": "half"})
        raise TierError("broken", "cut")


class Buggy(FakeTier):
    async def stream(self, request: Any, deadline: float) -> Any:
        yield self._delta({"content": "half"})
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("tier", "said"), [(Breaking, "upstream_error"), (Buggy, "internal_error")]
)
def test_after_the_first_byte_an_error_is_an_event_without_done(
    tier: type[FakeTier], said: str
) -> None:
    front = Front(cloud=tier("cloud"))
    *_, last = events(front.chat(model="cloud", stream=True))
    assert last["error"]["code"] == said
    assert front.kept.of(Completion)[0].status == "aborted"


def test_a_stream_that_fails_before_its_first_byte_has_a_status() -> None:
    front = Front(cloud=FakeTier("cloud", [TierError("timeout", "late")]))
    response = front.chat(model="cloud", stream=True)
    assert code(response) == (504, "timeout")


class Full:
    def record(self, *records: Any) -> bool:
        raise SpoolFull("full")


def test_what_cannot_be_recorded_is_refused_before_a_tier_is_asked() -> None:
    front = Front()
    front.kept.record = Full().record  # type: ignore[method-assign]
    response = front.chat()
    assert code(response) == (503, "recording_unavailable")
    assert response.headers["retry-after"] == "1"
    assert front.local.requests == []  # type: ignore[attr-defined]
    vote = {"decision_id": "0198c0de-0000-7000-8000-000000000000", "value": 1}
    refused = front.ask("POST", "/v1/feedback", json=vote)
    assert code(refused) == (503, "recording_unavailable")


def test_a_fault_of_ours_is_an_internal_error_and_shows_nothing() -> None:
    class Faulty(FakeTier):
        async def complete(self, request: Any, deadline: float) -> Any:
            raise RuntimeError("secret detail")

    front = Front(local=Faulty("local"))
    response = front.chat(model="local")
    assert code(response) == (500, "internal_error")
    assert "secret" not in response.text
    assert front.kept.of(Completion)[0].status == "error"


def test_a_full_plane_sheds_and_a_full_key_waits() -> None:
    places = Occupancy(Limits(requests_in_flight=2, concurrency=1))
    with places.place("a"):
        with pytest.raises(ApiError) as full, places.place("a"):
            pass
        assert full.value.status == 429
        with places.place("b"), pytest.raises(ApiError) as shed, places.place("c"):
            pass
        assert shed.value.status == 503
    with places.place("a"):
        pass


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={"role": st.sampled_from(["user", "assistant", "tool"]) | JSON, "content": JSON},
    )
    | JSON,
    max_size=3,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.just("penstock") | JSON,
        "messages": MESSAGES | JSON,
        "stream": st.booleans() | JSON,
        "stream_options": JSON,
        "max_tokens": JSON,
        "stop": JSON,
        "user": JSON,
        "metadata": JSON,
        "logprobs": JSON,
        "tools": JSON,
    },
)


FUZZED = Front()


@settings(max_examples=300, deadline=None)
@given(body=BODIES.map(orjson.dumps) | st.binary(max_size=200) | JSON.map(orjson.dumps))
def test_no_body_is_a_fault_of_ours(body: bytes) -> None:
    response = FUZZED.ask("POST", CHAT, content=body)
    assert response.status_code in {200, 400, 404}


@settings(max_examples=100, deadline=None)
@given(
    path=st.sampled_from(["/v1/feedback", "/v1/shadow"]),
    body=JSON.map(orjson.dumps) | st.binary(max_size=100),
)
def test_no_body_of_a_plain_route_is_a_fault_of_ours(path: str, body: bytes) -> None:
    response = FUZZED.ask("POST", path, content=body, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_other_protocols_are_not_spoken() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("nothing is said")

    asyncio.run(Front().app({"type": "websocket"}, never, never))


def test_a_principal_has_the_scopes_it_has() -> None:
    assert not Principal("t", "k", frozenset({"admin"})).may("inference")
