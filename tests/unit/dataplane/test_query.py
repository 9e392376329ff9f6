from typing import Any

import orjson
import pytest

from dataplane.errors import ApiError
from dataplane.query import MAX_DEPTH, MAX_NAME, Query, parse, read


def query(*, header: str | None = None, **fields: Any) -> Query:
    body = {"model": "penstock", "messages": [{"role": "user", "content": "hi"}], **fields}
    return read(orjson.dumps(body), tenant="t", request_id="r", conversation=header, max_tokens=100)


def test_the_virtual_model_pins_nothing() -> None:
    assert query().pinned is None
    assert query(model="local").pinned == "local"


@pytest.mark.parametrize(
    ("header", "fields", "conversation"),
    [
        (None, {}, None),
        (None, {"user": "u"}, "u"),
        (None, {"user": ""}, None),
        (None, {"user": "u", "metadata": {"conversation": "m"}}, "m"),
        (None, {"metadata": {"conversation": 7}}, None),
        ("h", {"user": "u", "metadata": {"conversation": "m"}}, "h"),
        ("h" * 1000, {}, "h" * MAX_NAME),
    ],
)
def test_a_conversation_is_named_by_header_metadata_or_user(
    header: str | None, fields: dict[str, Any], conversation: str | None
) -> None:
    assert query(header=header, **fields).conversation == conversation


@pytest.mark.parametrize(
    ("fields", "category"),
    [
        ({}, None),
        ({"metadata": None}, None),
        ({"metadata": {"category": "anatomy"}}, "anatomy"),
        ({"metadata": {"category": 7}}, None),
        ({"metadata": {"category": "c" * 1000}}, "c" * MAX_NAME),
    ],
)
def test_a_category_is_named_in_the_metadata(fields: dict[str, Any], category: str | None) -> None:
    assert query(**fields).category == category


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_tokens_are_clamped_where_they_are_given(name: str) -> None:
    few: dict[str, Any] = {name: 5}
    many: dict[str, Any] = {name: 5000}
    assert query(**few).body[name] == 5
    assert query(**many).body[name] == 100
    assert name not in query().body


def test_messages_of_all_kinds_are_taken() -> None:
    tool_call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None, "tool_calls": [tool_call]},
        {"role": "tool", "content": "4", "tool_call_id": "1"},
    ]
    assert query(messages=messages).messages == messages


def test_usage_is_wanted_only_where_it_was_asked_for() -> None:
    assert not query(stream=True).include_usage
    assert query(stream=True, stream_options={"include_usage": True}).include_usage


@pytest.mark.parametrize("levels", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1])
def test_depth_is_counted_exactly(levels: int) -> None:
    body = b'{"a":' * levels + b"1" + b"}" * levels
    if levels <= MAX_DEPTH:
        parse(body)
    else:
        with pytest.raises(ApiError):
            parse(body)


def test_a_wide_body_is_not_a_deep_one() -> None:
    assert len(parse(orjson.dumps({str(n): [] for n in range(1000)}))) == 1000


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    body = f'{{"model": "m", "messages": [], "temperature": {number}}}'
    with pytest.raises(ApiError):
        read(body.encode(), tenant="t", request_id="r", conversation=None, max_tokens=1)
