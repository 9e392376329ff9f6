from typing import Any

import pytest

from dataplane.engine.request import RequestError, parse, unsupported

MESSAGES = [{"role": "user", "content": "hi"}]


def test_absent_and_null_are_the_defaults() -> None:
    wanted = parse({"messages": MESSAGES, "temperature": None, "stop": None, "stream": None})
    assert wanted.temperature == wanted.top_p == 1.0
    assert (wanted.limit, wanted.seed, wanted.stop, wanted.stream) == (None, None, (), False)


def test_contents_are_told_as_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": parts}, {"role": "assistant", "content": None}]
    assert parse({"messages": messages}).conversation == [
        {"role": "system", "content": "ab"},
        {"role": "assistant", "content": ""},
    ]


def test_the_newer_limit_wins_and_one_stop_is_enough() -> None:
    wanted = parse(
        {
            "messages": MESSAGES,
            "max_tokens": 9,
            "max_completion_tokens": 5,
            "stop": "x",
            "user": "u",
        }
    )
    assert (wanted.limit, wanted.stop) == (5, ("x",))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "root", "content": ""}]}, "messages.0.role"),
        ({"messages": MESSAGES, "temperature": -1}, "temperature"),
        ({"messages": MESSAGES, "top_p": 0}, "top_p"),
        ({"messages": MESSAGES, "max_tokens": 0}, "max_tokens"),
        ({"messages": MESSAGES, "n": 2}, "n"),
        ({"messages": MESSAGES, "stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"messages": MESSAGES, "tools": [{}]}, "tools"),
        ({"messages": MESSAGES, "response_format": {"type": "json_object"}}, "response_format"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(body: Any, param: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        parse(body)
    assert caught.value.status == 400
    assert (caught.value.param or "").startswith(param or "")


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({"messages": MESSAGES}, None),
        ({"messages": MESSAGES, "response_format": {"type": "text"}}, None),
        ({"messages": MESSAGES, "tools": [{}]}, ("tools", "tool calls")),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            ("messages", "input of type image_url"),
        ),
        (
            {"messages": [*MESSAGES, {"role": "assistant", "tool_calls": [{"id": "a"}]}]},
            ("messages", "tool calls"),
        ),
        ({"messages": 5}, None),
    ],
)
def test_what_a_body_asks_for_in_vain_is_named(body: Any, missing: Any) -> None:
    assert unsupported(body) == missing


@pytest.mark.parametrize("key", ["tools", "logit_bias", "presence_penalty"])
def test_an_empty_wish_is_none(key: str) -> None:
    parse({"messages": MESSAGES, key: [] if key == "tools" else 0 if "pen" in key else {}})
