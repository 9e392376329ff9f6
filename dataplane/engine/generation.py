"""What is asked of the engine, and what comes back while it works."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token's bytes and its natural log-probability under the model (temperature 1)."""

    piece: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Sampled(Candidate):
    """A sampled token, with the likeliest ones of its step."""

    top: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that may be shown, and the tokens sampled since the last piece."""

    text: str
    tokens: tuple[Sampled, ...]


@dataclass(frozen=True, slots=True)
class Timings:
    """Measured by the engine: from arrival to slot, slot to first token, arrival to first token."""

    queue_ms: float
    prompt_ms: float
    ttft_ms: float
    tokens_per_s: float | None
    """Steps after the first token over their time; None if there was no second step."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: `stop` or `length`, and the exact counts.

    Tokens of a stop string are counted, the token that ends a generation is not.
    """

    reason: str
    prompt_tokens: int
    completion_tokens: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class Failed:
    """The end without an answer."""

    message: str


Event = Piece | Finished | Failed


@dataclass(eq=False, slots=True)
class Generation:
    """One request to generate. `deliver` is called from the engine's thread."""

    prompt: list[int]
    max_tokens: int
    deliver: Callable[[Event], None]
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0
    cancelled: bool = False
    submitted_s: float = field(default_factory=time.perf_counter)
