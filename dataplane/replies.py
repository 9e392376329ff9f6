"""Replies in OpenAI's shape: one object, or the chunks of a stream."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from dataplane.gateway import Reply
from dataplane.tiers.base import Answer, Delta, Usage
from dataplane.trail import Trail

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"


def headers(trail: Trail, tier: str | None, cost_usd: float | None = None) -> dict[str, str]:
    """What every answer says of its decision; a stream that is passed through has no cost yet."""
    said = {
        "x-penstock-decision-id": str(trail.id),
        "x-penstock-policy": str(trail.policy.version),
    }
    if tier is not None:
        said["x-penstock-tier"] = tier
    if cost_usd is not None:
        said["x-penstock-cost-usd"] = f"{cost_usd:.9f}"
    return said


def completion(trail: Trail, reply: Reply) -> Json:
    """A `chat.completion`."""
    answer = reply.answer
    choice = {
        "index": 0,
        "message": {"role": "assistant", **answer.message},
        "logprobs": _logprobs(trail, answer),
        "finish_reason": answer.finish,
    }
    return {
        **_frame(trail, "chat.completion", answer.model),
        "choices": [choice],
        "usage": usage(answer.usage),
    }


def chunks(trail: Trail, reply: Reply) -> Iterator[Json]:
    """A finished answer as the `chat.completion.chunk`s of a stream."""
    answer = reply.answer
    yield _chunk(trail, answer.model, {"role": "assistant", "content": ""})
    yield _chunk(trail, answer.model, _whole(answer), logprobs=_logprobs(trail, answer))
    yield _chunk(trail, answer.model, {}, finish=answer.finish)


def passed(trail: Trail, delta: Delta) -> Json | None:
    """A tier's chunk under this decision's id; None if it held nothing but usage."""
    if not delta.chunk.get("choices"):
        return None
    chunk = {**delta.chunk, "id": _name(trail)}
    chunk.pop("usage", None)
    return _asked(trail, chunk)


def last(trail: Trail, answer: Answer) -> Json:
    """The extra chunk with the usage, for a client that asked for it."""
    frame = _frame(trail, "chat.completion.chunk", answer.model)
    return {**frame, "choices": [], "usage": usage(answer.usage)}


def usage(used: Usage) -> Json:
    """OpenAI's usage object; what we counted ourselves is marked."""
    counted: Json = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }
    return counted if used.exact else {**counted, "estimated": True}


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _name(trail: Trail) -> str:
    return f"chatcmpl-{trail.id}"


def _frame(trail: Trail, kind: str, model: str) -> Json:
    created = int(trail.at.timestamp())
    return {"id": _name(trail), "object": kind, "created": created, "model": model}


def _chunk(
    trail: Trail, model: str, delta: Json, *, finish: str | None = None, logprobs: Any = None
) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return _asked(trail, {**_frame(trail, "chat.completion.chunk", model), "choices": [choice]})


def _asked(trail: Trail, chunk: Json) -> Json:
    """As OpenAI has it: where usage was asked for, all chunks but the last say null."""
    return {**chunk, "usage": None} if trail.query.include_usage else chunk


def _whole(answer: Answer) -> Json:
    said = {name: value for name, value in answer.message.items() if name != "role"}
    calls = said.get("tool_calls")
    if calls:
        said["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    return said


def _logprobs(trail: Trail, answer: Answer) -> Json | None:
    return answer.logprobs_object if trail.query.body.get("logprobs") else None
