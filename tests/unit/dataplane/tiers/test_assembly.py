from typing import Any

import pytest

from dataplane.tiers.assembly import Assembly, count, spelled
from dataplane.tiers.base import Usage


def delta(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def test_text_and_tool_calls_grow_from_their_pieces() -> None:
    assembly = Assembly()
    call = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}}
    spoke = [
        assembly.add(delta(role="assistant", content="")),
        assembly.add(delta(content="Hel")),
        assembly.add(delta(content="lo")),
        assembly.add(delta(tool_calls=[call])),
        assembly.add(delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a":1}'}}])),
    ]
    assert spoke == [False, True, True, True, True]
    assert assembly.message["content"] == "Hello"
    function = {"name": "add", "arguments": '{"a":1}'}
    assert assembly.message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": function}
    ]
    assert spelled(assembly.message) == 'Helloadd{"a":1}'


def test_an_answer_is_complete_once_the_tier_says_why_it_ended() -> None:
    assembly = Assembly()
    assembly.add(delta(content="a"))
    assert not assembly.complete
    assembly.add({"choices": [{"delta": {}, "finish_reason": "length"}]})
    assert assembly.complete
    assert assembly.finish == "length"


def test_logprobs_are_collected_in_order() -> None:
    assembly = Assembly()
    assert assembly.sampled_logprobs is None
    for logprob in (-0.5, -1):
        content = [{"token": "x", "logprob": logprob}]
        assembly.add({"choices": [{"delta": {}, "logprobs": {"content": content}}]})
    assert assembly.sampled_logprobs == (-0.5, -1.0)


def test_a_timing_that_is_no_number_is_none() -> None:
    assembly = Assembly()
    assembly.add({"choices": [], "timings": {"ttft_ms": 3, "tokens_per_s": "fast"}})
    assert assembly.timing("ttft_ms") == 3.0
    assert assembly.timing("tokens_per_s") is None


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": 3}, {"prompt_tokens": -1, "completion_tokens": 2}]
)
def test_without_a_count_usage_is_estimated_and_says_so(usage: dict[str, Any] | None) -> None:
    request = {"messages": [{"role": "user", "content": "12345678"}]}
    assert count(usage, request, "12345") == Usage(2, 2, exact=False)


def test_the_tiers_own_count_is_exact() -> None:
    counted = {"prompt_tokens": 7, "completion_tokens": 0}
    assert count(counted, {}, "whatever") == Usage(7, 0, exact=True)
