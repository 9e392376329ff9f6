"""The seam between the gateway and whatever answers a query."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

ErrorKind = Literal["timeout", "connect", "status", "overloaded", "broken", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `exact` is false when we counted them and not the tier."""

    prompt_tokens: int
    completion_tokens: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished call of a tier.

    `message` is the OpenAI message object, tool calls included. `logprobs` holds the
    natural log of each sampled token's probability, or None if the tier gives none;
    `logprobs_object` is OpenAI's form of them, for a client that asked.
    """

    text: str
    finish: str
    usage: Usage
    model: str
    message: dict[str, Any]
    logprobs: tuple[float, ...] | None
    latency_ms: float
    ttft_ms: float | None
    tokens_per_s: float | None
    logprobs_object: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """An OpenAI `chat.completion.chunk`, to be passed on as it came."""

    chunk: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TierHealth:
    """What a tier knows of itself without asking anyone; `pid` is a supervised process.

    `account` is what that process said last of its slots, its queue and its memory.
    """

    up: bool
    pid: int | None = None
    restarts: int = 0
    detail: str = ""
    account: Mapping[str, Any] = field(default_factory=dict)


class TierError(Exception):
    """A call that gave no complete answer.

    The text is safe to log and to show to an operator: it never quotes an upstream body.
    `usage` is what the call had consumed when it failed, None if nothing is known to
    have been generated. `status` is the upstream's HTTP status and `code` its error code (letters,
    digits, `_`, `.`, `-` only), where there was one.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.usage = usage


class TierUnusableError(TierError):
    """A tier that cannot start as configured: one line that names the thing and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__("connect", message)


@runtime_checkable
class Tier(Protocol):
    """A place that answers. `request` is a validated OpenAI chat body, never modified.

    `deadline` is a reading of `time.monotonic()`. A tier replaces `model` by its own and
    always asks for usage. Cancelling the consuming task, or closing the stream, ends the
    call upstream as well. Every failure is a `TierError`.
    """

    name: str
    model: str

    async def start(self) -> None:
        """Make ready to answer; raises `TierUnusableError` if that is not possible."""

    async def close(self) -> None:
        """Release everything, running calls included."""

    def health(self) -> TierHealth:
        """What is known now; never waits."""
        ...

    def lacks(self, request: Mapping[str, Any]) -> str | None:
        """What the request needs and this tier cannot do, in words; None if it may be asked."""
        ...

    async def complete(self, request: Mapping[str, Any], deadline: float) -> Answer:
        """The whole answer at once."""
        ...

    def stream(
        self, request: Mapping[str, Any], deadline: float
    ) -> AsyncGenerator[Delta | Answer, None]:
        """Deltas as they come, then exactly one Answer, last."""
        ...
