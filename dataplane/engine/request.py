"""The OpenAI chat body, as far as the engine honours it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator


class RequestError(Exception):
    """A body the engine refuses, in OpenAI's terms."""

    def __init__(
        self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: Literal["text"]
    text: str


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None

    def plain(self) -> dict[str, str]:
        content = self.content or ""
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


_UNSUPPORTED: Mapping[str, str] = {
    "tools": "tool calls",
    "functions": "function calls",
    "response_format": "structured output",
    "logit_bias": "logit_bias",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "audio": "audio",
}


class Unsupported(NamedTuple):
    """What a body asks for in vain: its parameter, and its name in words."""

    param: str
    name: str


def unsupported(body: Mapping[str, Any]) -> Unsupported | None:
    """The first thing in a body that this engine does not do, None if there is none."""
    for param, name in _UNSUPPORTED.items():
        if body.get(param) and body[param] != {"type": "text"}:
            return Unsupported(param, name)
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if found := _unreadable(message):
            return Unsupported("messages", found)
    return None


def _unreadable(message: Any) -> str | None:
    """What a message holds that the chat template would silently drop."""
    if not isinstance(message, Mapping):
        return None
    if message.get("tool_calls"):
        return "tool calls"
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    kinds = (part.get("type") for part in parts if isinstance(part, Mapping))
    return next((f"input of type {str(kind)[:40]}" for kind in kinds if kind != "text"), None)


class ChatRequest(BaseModel):
    """A body with defaults filled in; null means absent, unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    messages: Annotated[list[_Message], Field(min_length=1)]
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**64)] = None
    stop: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=4)] = ()
    n: Literal[1] = 1
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0

    @field_validator("stop", mode="before")
    @classmethod
    def _several(cls, stop: Any) -> Any:
        return (stop,) if isinstance(stop, str) else stop

    @property
    def limit(self) -> int | None:
        """The most tokens to generate, if the body says."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def conversation(self) -> list[dict[str, str]]:
        """Messages as `role` and `content`, both text."""
        return [message.plain() for message in self.messages]


def parse(body: Any) -> ChatRequest:
    """Validate a decoded JSON body. Raises `RequestError`."""
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    if missing := unsupported(body):
        raise RequestError(
            f"this model has no {missing.name}; leave it out",
            code="unsupported_parameter",
            param=missing.param,
        )
    try:
        return ChatRequest.model_validate({k: v for k, v in body.items() if v is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(str(step) for step in first["loc"])
        raise RequestError(f"{param}: {first['msg']}", param=param) from error
