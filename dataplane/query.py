"""Query: one chat request, checked at the edge and trusted from there on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataplane.errors import ApiError, invalid

VIRTUAL_MODEL = "penstock"  # the policy decides
MAX_DEPTH = 64
_NO_OPTIONS = {"model", "messages", "stream", "stream_options", "user", "metadata", "store"}
MAX_NAME = 200  # characters of a conversation's or a request's name

_Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
_Stop = Annotated[str, Field(max_length=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Part(_Body):
    type: str
    text: str | None = None

    @model_validator(mode="after")
    def _text_has_text(self) -> Self:
        if self.type == "text" and self.text is None:
            raise ValueError("a part of type text needs its text")
        return self


class _Function(_Body):
    name: str
    arguments: str


class _ToolCall(_Body):
    id: str
    function: _Function


class _Message(_Body):
    role: _Role
    content: str | list[_Part] | None = None
    tool_calls: list[_ToolCall] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a message of role {self.role} needs its content")
        return self


class _StreamOptions(_Body):
    include_usage: bool | None = None


class ChatBody(_Body):
    """What the gateway itself reads of OpenAI's body; everything else is the tier's to judge."""

    model: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = None
    logprobs: bool | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One request. `body` is what a tier gets; `pinned` names the tier that the client chose."""

    request_id: str
    tenant: str
    conversation: str | None
    body: Mapping[str, Any]
    pinned: str | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far."""
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def options(self) -> dict[str, Any]:
        """How the answer is wanted: the body less its messages, its form and whose it is."""
        return {name: value for name, value in self.body.items() if name not in _NO_OPTIONS}

    @property
    def category(self) -> str | None:
        """What kind of query the client says it is, in the body's metadata."""
        named = (self.body.get("metadata") or {}).get("category")
        return named[:MAX_NAME] if isinstance(named, str) else None

    @property
    def stream(self) -> bool:
        """Whether the client wants chunks."""
        return bool(self.body.get("stream"))

    @property
    def include_usage(self) -> bool:
        """Whether the client wants the chunk of usage."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))


def read(
    data: bytes,
    *,
    tenant: str,
    request_id: str,
    conversation: str | None,
    max_tokens: int,
    bounded: bool = False,
) -> Query:
    """A query from a request's bytes; raises ``ApiError`` (400, 422) that names what is wrong.

    ``bounded``: an answer has at most ``max_tokens`` also where the client says nothing of it.
    """
    body = parse(data)
    try:
        chat = ChatBody.model_validate(body)
    except ValidationError as error:
        raise refusal(error) from None
    _clamp(body, max_tokens, bounded=bounded)
    return Query(
        request_id=request_id,
        tenant=tenant,
        conversation=_conversation(conversation, chat),
        body=body,
        pinned=None if chat.model == VIRTUAL_MODEL else chat.model,
    )


def parse(data: bytes) -> dict[str, Any]:
    """A JSON object of at most `MAX_DEPTH` levels; raises ``ApiError`` 400."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object")
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _deeper(body, MAX_DEPTH):
        raise invalid(f"the body is nested deeper than {MAX_DEPTH} levels", code="too_deep")
    return body


def refusal(error: ValidationError) -> ApiError:
    """The first of a body's faults, as OpenAI would say it."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"] if not _of_a_union(part)) or None
    return invalid(f"{param}: {first['msg']}" if param else first["msg"], param)


def _of_a_union(part: int | str) -> bool:
    return part in ("str", "constrained-str") or str(part).startswith(("list[", "function-"))


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value
    return [child for child in inside if isinstance(child, dict | list)]


def _clamp(body: dict[str, Any], max_tokens: int, *, bounded: bool) -> None:
    said = [n for n in ("max_tokens", "max_completion_tokens") if body.get(n) is not None]
    for name in said:
        body[name] = min(body[name], max_tokens)
    if bounded and not said:
        body["max_tokens"] = max_tokens


def _conversation(header: str | None, chat: ChatBody) -> str | None:
    named = header or (chat.metadata or {}).get("conversation") or chat.user
    return named[:MAX_NAME] if isinstance(named, str) and named else None
