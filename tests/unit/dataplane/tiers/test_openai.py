"""The exchange with a provider, good and bad, over a real socket."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import SecretStr

from dataplane.tiers.base import Answer, Delta, TierError, Usage
from dataplane.tiers.openai import OpenAITier
from tests.scripted_upstream import Exchange, Play, scripted
from tests.stalls import stalls

pytestmark = pytest.mark.anyio

REQUEST: Mapping[str, Any] = {
    "model": "auto",
    "messages": [{"role": "user", "content": "12345678"}],
}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
MESSAGE = {"role": "assistant", "content": "hello"}
WHOLE = {
    "model": "big-1",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": USAGE,
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def chunk(content: str | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}


async def complete(play: Play, **options: Any) -> Answer:
    async with scripted(play) as upstream:
        tier = OpenAITier("cloud", "big", upstream.base_url, **options)
        try:
            return await tier.complete(REQUEST, soon())
        finally:
            await tier.close()


async def stream(
    play: Play, request: Mapping[str, Any] = REQUEST, **options: Any
) -> tuple[list[dict[str, Any]], Answer]:
    async with scripted(play) as upstream:
        tier = OpenAITier("cloud", "big", upstream.base_url, **options)
        try:
            async with aclosing(tier.stream(request, soon())) as parts:
                said = [part async for part in parts]
        finally:
            await tier.close()
    *deltas, answer = said
    assert isinstance(answer, Answer)
    return [part.chunk for part in deltas if isinstance(part, Delta)], answer


async def failure(play: Play, **options: Any) -> TierError:
    with pytest.raises(TierError) as caught:
        await complete(play, **options)
    return caught.value


async def stream_failure(play: Play, **options: Any) -> TierError:
    with pytest.raises(TierError) as caught:
        await stream(play, **options)
    return caught.value


async def test_an_answer_carries_the_message_the_usage_and_the_model() -> None:
    answer = await complete(lambda exchange: exchange.reply(WHOLE))
    assert (answer.text, answer.finish, answer.model) == ("hello", "stop", "big-1")
    assert answer.usage == Usage(3, 2, exact=True)
    assert answer.message == MESSAGE
    assert answer.logprobs is None
    assert answer.latency_ms > 0


async def test_the_request_has_our_model_our_key_and_nothing_else_changed() -> None:
    seen: list[Exchange] = []

    async def play(exchange: Exchange) -> None:
        seen.append(exchange)
        await exchange.reply(WHOLE)

    await complete(play, api_key=SecretStr("sk-canary"), logprobs=True)
    [exchange] = seen
    assert exchange.path == "/v1/chat/completions"
    assert exchange.headers["authorization"] == "Bearer sk-canary"
    assert exchange.headers["accept-encoding"] == "identity"
    assert exchange.body == {**REQUEST, "model": "big", "stream": False, "logprobs": True}
    assert REQUEST["model"] == "auto"


async def test_a_tool_call_survives() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {}}]}
    choice = {"message": message, "finish_reason": "tool_calls"}
    answer = await complete(lambda exchange: exchange.reply({"choices": [choice], "usage": USAGE}))
    assert answer.message == message
    assert (answer.text, answer.finish) == ("", "tool_calls")


async def test_a_stream_ends_in_the_answer_it_spelled() -> None:
    parts = [chunk(""), chunk("hel"), chunk("lo"), chunk(finish="stop", usage=USAGE)]
    deltas, answer = await stream(lambda exchange: exchange.events(parts))
    assert [d["choices"][0]["delta"].get("content") for d in deltas] == ["", "hel", "lo", None]
    assert (answer.text, answer.finish, answer.usage) == ("hello", "stop", Usage(3, 2, exact=True))
    assert answer.ttft_ms is not None
    assert 0 < answer.ttft_ms <= answer.latency_ms


@pytest.mark.parametrize("asked", [False, True])
async def test_usage_is_always_asked_for_and_shown_to_those_who_asked(asked: bool) -> None:
    seen: list[Any] = []

    async def play(exchange: Exchange) -> None:
        seen.append(exchange.body)
        usage = {"choices": [], "usage": USAGE, "timings": {"ttft_ms": 1.5}}
        await exchange.events([chunk("x", logprobs=None), chunk(finish="stop"), usage])

    options = {"stream_options": {"include_usage": True}} if asked else {}
    deltas, answer = await stream(play, {**REQUEST, **options})
    assert seen[0]["stream_options"] == {"include_usage": True}
    assert [d for d in deltas if d.get("usage")] == ([{"choices": [], "usage": USAGE}] * asked)
    assert answer.usage.exact


async def test_logprobs_we_asked_for_are_not_shown_to_a_client_who_did_not() -> None:
    logprobs = {"content": [{"token": "x", "logprob": -0.25}]}
    said = {"choices": [{"delta": {"content": "x"}, "logprobs": logprobs, "finish_reason": None}]}
    play: Play = lambda exchange: exchange.events([said, chunk(finish="stop")])  # noqa: E731
    deltas, answer = await stream(play, logprobs=True)
    assert deltas[0]["choices"][0]["logprobs"] is None
    assert answer.logprobs == (-0.25,)
    assert answer.logprobs_object == logprobs
    deltas, _ = await stream(play, {**REQUEST, "logprobs": True})
    assert deltas[0]["choices"][0]["logprobs"] == logprobs


async def test_a_stream_may_be_cut_anywhere_and_hold_comments() -> None:
    body = ': wait\r\n\r\ndata: {"choices":[{"delta":{"content":"é"}}]}\r\n\r\ndata: [DONE]\r\n\r\n'

    async def play(exchange: Exchange) -> None:
        await exchange.open_stream()
        for byte in body.encode():
            await exchange.chunk(bytes([byte]))
        await exchange.chunk(b"")

    _, answer = await stream(play)
    assert (answer.text, answer.finish) == ("é", "stop")


async def test_usage_nobody_counted_is_estimated_and_says_so() -> None:
    _, answer = await stream(
        lambda exchange: exchange.events([chunk("12345"), chunk(finish="stop")])
    )
    assert answer.usage == Usage(2, 2, exact=False)


async def test_connections_are_used_again() -> None:
    async def play(exchange: Exchange) -> None:
        if exchange.body["stream"]:
            await exchange.events([chunk("a"), chunk(finish="stop")])
        else:
            await exchange.reply(WHOLE)

    async with scripted(play) as upstream:
        tier = OpenAITier("cloud", "big", upstream.base_url)
        for _ in range(3):
            await tier.complete(REQUEST, soon())
            async with aclosing(tier.stream(REQUEST, soon())) as parts:
                assert [type(part) async for part in parts][-1] is Answer
        await tier.close()
    assert upstream.accepted == 1


@pytest.mark.parametrize(
    ("status", "headers", "kind", "retry_after_s"),
    [
        (400, {}, "status", None),
        (401, {}, "status", None),
        (302, {"location": "http://169.254.169.254/"}, "status", None),
        (429, {"retry_after": "7"}, "overloaded", 7.0),
        (503, {"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, "overloaded", 0.0),
        (500, {"retry_after": "soon"}, "status", None),
    ],
)
async def test_a_refusal_is_told_by_its_status_and_never_quotes_the_body(
    status: int, headers: dict[str, str], kind: str, retry_after_s: float | None
) -> None:
    body = {"error": {"message": "canary-secret", "code": "some_code"}}
    error = await failure(lambda exchange: exchange.reply(body, status, **headers))
    assert (error.kind, error.status, error.code) == (kind, status, "some_code")
    assert error.retry_after_s == retry_after_s
    assert error.usage is None
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    "body", [b"<html>", {"error": {"code": "<b>canary</b>"}}, {"error": "x"}, []]
)
async def test_an_error_code_that_is_no_plain_word_is_dropped(body: Any) -> None:
    error = await failure(lambda exchange: exchange.reply(body, 400))
    assert error.code is None
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        {"choices": []},
        {"choices": [{"message": 3}]},
        {"choices": [{"message": {"content": 3}}]},
        {"error": {"a": 1}},
    ],
)
async def test_an_answer_that_is_not_openais_is_broken(body: Any) -> None:
    error = await failure(lambda exchange: exchange.reply(body))
    assert error.kind == "broken"


async def test_a_stream_that_just_ends_is_broken_and_its_tokens_are_counted() -> None:
    error = await stream_failure(lambda e: e.events([chunk("12345")], done=False))
    assert error.kind == "broken"
    assert error.usage == Usage(2, 2, exact=False)


@pytest.mark.parametrize(
    "tail",
    [b"data: {\n\n", b'data: {"error":{"message":"canary"}}\n\n', b'data: {"choices":3}\n\n',
     b"data: 3\n\n", b'data: {"choices":[{"delta":{"content":"\xc3"}}]}\n\n'],
)  # fmt: skip
async def test_a_malformed_event_is_broken(tail: bytes) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.open_stream()
        await exchange.chunk(b'data: {"choices":[{"delta":{"content":"1234"}}]}\n\n' + tail)
        await exchange.gone()

    error = await stream_failure(play)
    assert error.kind == "broken"
    assert error.usage == Usage(2, 1, exact=False)
    assert "canary" not in str(error)


async def test_a_connection_cut_in_the_middle_is_broken() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.open_stream()
        await exchange.chunk(b'data: {"choices":[{"delta":{"content":"1234"}}]}\n\n')
        exchange.reset()

    error = await stream_failure(play)
    assert (error.kind, error.usage) == ("broken", Usage(2, 1, exact=False))


async def test_a_connection_cut_before_the_answer_is_broken() -> None:
    async def play(exchange: Exchange) -> None:
        exchange.reset()

    assert (await failure(play)).kind == "broken"


async def silent(exchange: Exchange) -> None:
    await exchange.gone()


async def silent_after_headers(exchange: Exchange) -> None:
    await exchange.open_stream()
    await exchange.gone()


async def dripping(exchange: Exchange) -> None:
    await exchange.open_stream()
    while True:
        await exchange.chunk(b": still here\n\n")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("play", [silent, silent_after_headers, dripping])
async def test_the_deadline_holds_and_nothing_leaks(play: Callable[[Exchange], Any]) -> None:
    async with scripted(play) as upstream:
        tier = OpenAITier("cloud", "big", upstream.base_url)
        with stalls() as lost_s:
            started_s = time.monotonic()
            with pytest.raises(TierError) as caught:
                async with aclosing(tier.stream(REQUEST, started_s + 0.3)) as parts:
                    [part async for part in parts]
            took_s = time.monotonic() - started_s
            late_s = took_s - 0.3 - lost_s()
        await upstream.empty()
        await tier.close()
    assert caught.value.kind == "timeout"
    assert took_s >= 0.3
    assert late_s < 0.25


async def test_silence_within_a_stream_ends_it_before_the_deadline() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.open_stream()
        await exchange.chunk(b'data: {"choices":[{"delta":{"content":"1234"}}]}\n\n')
        await exchange.gone()

    with stalls() as lost_s:
        started_s = time.monotonic()
        error = await stream_failure(play, idle_timeout_s=0.2)
        assert time.monotonic() - started_s - lost_s() < 1
    assert (error.kind, error.usage) == ("timeout", Usage(2, 1, exact=False))


@pytest.mark.parametrize("play", [silent, silent_after_headers, dripping])
async def test_cancelling_the_caller_closes_the_connection(play: Play) -> None:
    async with scripted(play) as upstream:
        tier = OpenAITier("cloud", "big", upstream.base_url)
        call = asyncio.create_task(tier.complete(REQUEST, soon()))
        await upstream.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await upstream.empty()
        await tier.close()


async def test_closing_a_stream_early_closes_the_connection() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.open_stream()
        await exchange.chunk(b'data: {"choices":[{"delta":{"content":"1"}}]}\n\n')
        await exchange.gone()

    async with scripted(play) as upstream:
        tier = OpenAITier("cloud", "big", upstream.base_url)
        async with aclosing(tier.stream(REQUEST, soon())) as parts:
            assert isinstance(await anext(parts), Delta)
        await upstream.empty()
        await tier.close()


async def test_an_upstream_that_is_away_cannot_be_connected_to() -> None:
    tier = OpenAITier("cloud", "big", "http://127.0.0.1:1/v1")
    with pytest.raises(TierError, match=r"cannot connect to http://127\.0\.0\.1:1/v1") as caught:
        await tier.complete(REQUEST, soon())
    assert caught.value.kind == "connect"
    assert caught.value.usage is None
    assert not tier.health().up
    await tier.close()


async def test_compression_nobody_asked_for_is_refused() -> None:
    error = await failure(lambda e: e.reply(WHOLE, content_encoding="gzip"))
    assert error.kind == "broken"
