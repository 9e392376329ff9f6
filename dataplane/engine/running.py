"""A generation that holds a slot of the context."""

import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataplane.engine.generation import (
    Candidate,
    Event,
    Finished,
    Generation,
    Piece,
    Sampled,
    Timings,
)
from dataplane.engine.sampling import Array, log_softmax, sample, top
from dataplane.engine.text import TextStream


class Speller(Protocol):
    """What is needed of a vocabulary to turn tokens into text."""

    def ends(self, token: int) -> bool:
        """Whether `token` ends a generation."""

    def piece(self, token: int) -> bytes:
        """The bytes `token` spells."""


class Running:
    """Tokens of one sequence: the prompt, then what was sampled.

    `position` of them are in the context's memory; the rest is to be fed next.
    """

    def __init__(self, generation: Generation, slot: int, speller: Speller) -> None:
        self.generation = generation
        self.slot = slot
        self.position = 0
        self._tokens = list(generation.prompt)
        self._speller = speller
        self._rng = np.random.default_rng(generation.seed)
        self._text = TextStream(generation.stop)
        self._sampled: list[Sampled] = []
        self._admitted_s = time.perf_counter()
        self._first_s = self._last_s = 0.0

    @property
    def prefilling(self) -> bool:
        """Whether part of the prompt is still to be fed."""
        return self.position < len(self.generation.prompt)

    def next_tokens(self, room: int) -> list[int]:
        """What to feed next, at most `room` tokens."""
        return self._tokens[self.position : self.position + room]

    def reaches_end(self, count: int) -> bool:
        """Whether feeding `count` tokens more leaves nothing but to sample."""
        return self.position + count == len(self._tokens)

    def accept(self, logits: NDArray[np.float32]) -> list[Event]:
        """Sample from logits (vocabulary,) of the last token fed."""
        wanted = self.generation
        logprobs = log_softmax(logits)
        token = sample(logprobs, wanted.temperature, wanted.top_p, self._rng)
        self._clock()
        if self._speller.ends(token):
            return self._finish("stop")
        self._tokens.append(token)
        self._sampled.append(self._describe(token, logprobs))
        text = self._text.push(self._speller.piece(token))
        if self._text.stopped:
            return self._finish("stop", text)
        if self._generated >= wanted.max_tokens:
            return self._finish("length", text)
        return self._show(text)

    @property
    def _generated(self) -> int:
        return len(self._tokens) - len(self.generation.prompt)

    def _clock(self) -> None:
        self._last_s = time.perf_counter()
        self._first_s = self._first_s or self._last_s

    def _describe(self, token: int, logprobs: Array) -> Sampled:
        likeliest = top(logprobs, self.generation.top_logprobs)
        return Sampled(
            self._speller.piece(token),
            float(logprobs[token]),
            tuple(Candidate(self._speller.piece(t), float(logprobs[t])) for t in likeliest),
        )

    def _show(self, text: str) -> list[Event]:
        if not text:
            return []
        shown = Piece(text, tuple(self._sampled))
        self._sampled.clear()
        return [shown]

    def _finish(self, reason: str, text: str = "") -> list[Event]:
        text += self._text.finish()
        rest: list[Event] = [Piece(text, tuple(self._sampled))] if text or self._sampled else []
        prompt_tokens = len(self.generation.prompt)
        return [*rest, Finished(reason, prompt_tokens, self._generated, self._timings(reason))]

    def _timings(self, reason: str) -> Timings:
        submitted_s = self.generation.submitted_s
        later_steps = self._generated - (reason == "length")
        elapsed_s = self._last_s - self._first_s
        return Timings(
            queue_ms=(self._admitted_s - submitted_s) * 1e3,
            prompt_ms=(self._first_s - self._admitted_s) * 1e3,
            ttft_ms=(self._first_s - submitted_s) * 1e3,
            tokens_per_s=later_steps / elapsed_s if later_steps and elapsed_s else None,
        )
