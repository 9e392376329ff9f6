"""Chunks of a stream, put together to the answer they spell."""

import math
from collections.abc import Mapping
from typing import Any

from dataplane.tiers.base import Usage

BYTES_PER_TOKEN = 4
"""A rough size of a token in English text, where nobody counted."""

_GROWING = ("content", "refusal", "reasoning_content")


class Assembly:
    """What a stream has said so far; `done` once its end mark has come."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {"role": "assistant", "content": None}
        self.finish: str | None = None
        self.done = False
        self.model: str | None = None
        self.usage: Mapping[str, Any] | None = None
        self.timings: Mapping[str, Any] = {}
        self.logprobs: list[dict[str, Any]] | None = None
        self._sampled: list[float] = []
        self._calls: dict[int, dict[str, Any]] = {}

    @classmethod
    def whole(cls, completion: Mapping[str, Any]) -> "Assembly":
        """An answer that came in one piece."""
        assembly = cls()
        choice = completion["choices"][0]
        assembly.add({**completion, "choices": [{**choice, "delta": {}}]})
        assembly.message = dict(choice["message"])
        spelled(assembly.message)  # fails here, and not later, if it is not OpenAI's
        return assembly

    @property
    def complete(self) -> bool:
        """Whether the tier said that this was all."""
        return self.done or self.finish is not None

    @property
    def sampled_logprobs(self) -> tuple[float, ...] | None:
        """The log-probability of each sampled token, if the tier gave them."""
        return None if self.logprobs is None else tuple(self._sampled)

    def timing(self, name: str) -> float | None:
        """One of the tier's own measurements, if it is a number."""
        value = self.timings.get(name)
        return float(value) if isinstance(value, int | float) else None

    def add(self, chunk: Mapping[str, Any]) -> bool:
        """Take in a chunk; whether it carried part of the answer."""
        self.model = chunk.get("model") or self.model
        self.usage = chunk.get("usage") or self.usage
        self.timings = chunk.get("timings") or self.timings
        choices = chunk.get("choices") or [{}]
        choice = choices[0]
        self.finish = choice.get("finish_reason") or self.finish
        self._add_logprobs(choice.get("logprobs") or {})
        return self._add_delta(choice.get("delta") or {})

    def _add_logprobs(self, logprobs: Mapping[str, Any]) -> None:
        content = logprobs.get("content")
        if content is not None:
            self.logprobs = self.logprobs or []
            self.logprobs.extend(content)
            self._sampled.extend(float(token["logprob"]) for token in content)

    def _add_delta(self, delta: Mapping[str, Any]) -> bool:
        grown = [name for name in _GROWING if delta.get(name)]
        for name in grown:
            self.message[name] = (self.message.get(name) or "") + delta[name]
        if delta.get("content") == "" and self.message["content"] is None:
            self.message["content"] = ""
        calls = delta.get("tool_calls") or []
        for call in calls:
            self._add_call(call)
        return bool(grown or calls)

    def _add_call(self, delta: Mapping[str, Any]) -> None:
        index = delta.get("index", len(self._calls))
        call = self._calls.setdefault(
            index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = delta.get("id") or call["id"]
        function = delta.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
        self.message["tool_calls"] = [self._calls[i] for i in sorted(self._calls)]


def count(usage: Mapping[str, Any] | None, request: Mapping[str, Any], text: str) -> Usage:
    """The tier's own count; where it gave none, an estimate by length, marked as not exact."""
    counted = usage or {}
    prompt, completion = counted.get("prompt_tokens"), counted.get("completion_tokens")
    if isinstance(prompt, int) and isinstance(completion, int) and min(prompt, completion) >= 0:
        return Usage(prompt, completion, exact=True)
    return Usage(_estimate(_spoken(request)), _estimate(text), exact=False)


def spelled(message: Mapping[str, Any]) -> str:
    """All that was generated of a message, tool calls included."""
    calls = (call.get("function") or {} for call in message.get("tool_calls") or [])
    called = "".join(f"{call.get('name', '')}{call.get('arguments', '')}" for call in calls)
    return "".join(message.get(name) or "" for name in _GROWING) + called


def _spoken(request: Mapping[str, Any]) -> str:
    contents = (message.get("content") for message in request.get("messages", ()))
    return "\n".join(content if isinstance(content, str) else str(content) for content in contents)


def _estimate(text: str) -> int:
    return math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN)
