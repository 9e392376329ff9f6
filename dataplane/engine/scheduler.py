"""Continuous batching: one thread owns the context, and every step serves all slots at once.

Generations enter and leave between steps (Yu et al. 2022, "Orca", section 4.1: iteration-level
scheduling); a long prompt is fed in chunks beside the running ones' single tokens.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataplane.engine.generation import Event, Failed, Finished, Generation
from dataplane.engine.llama import AbortedError, DecodeError
from dataplane.engine.running import Running, Speller


class Decoder(Protocol):
    """What the scheduler needs of a context; see `llama.Context`."""

    slots: int

    @property
    def room(self) -> int:
        """How many tokens the batch still takes."""

    def add(self, slot: int, position: int, tokens: Sequence[int], *, sample: bool) -> int:
        """Put tokens of a sequence into the batch; the index of the last one."""

    def decode(self) -> None:
        """Compute the batch and empty it."""

    def logits(self, index: int) -> NDArray[np.float32]:
        """Logits (vocabulary,) after the token at `index`."""

    def forget(self, slot: int, position: int = 0) -> None:
        """Drop a sequence's memory from `position` on."""

    def abort(self) -> None:
        """Stop decoding until `resume`."""

    def resume(self) -> None:
        """Allow decoding again."""


class QueueFullError(Exception):
    """As many generations wait as may wait."""


Deliveries = Sequence[tuple[Generation, Event]]


class Scheduler:
    """Admits, feeds, samples, emits. `run` is the thread; the rest may be called from any.

    `deliver` gets all events of a step at once; by default it hands each to its generation.
    """

    def __init__(
        self,
        decoder: Decoder,
        speller: Speller,
        *,
        queue_limit: int,
        deliver: Callable[[Deliveries], None] | None = None,
    ) -> None:
        self._decoder = decoder
        self._speller = speller
        self._queue_limit = queue_limit
        self._deliver = deliver or _hand_over
        self._waiting: deque[Generation] = deque()
        self._running: dict[int, Running] = {}
        self._changed = threading.Condition()
        self._closed = False

    @property
    def slots_busy(self) -> int:
        """Generations that hold a slot."""
        return len(self._running)

    @property
    def queue_depth(self) -> int:
        """Generations that wait for a slot."""
        return len(self._waiting)

    def submit(self, generation: Generation) -> None:
        """Queue a generation. Raises `QueueFullError`."""
        with self._changed:
            free = self._decoder.slots - len(self._running)
            if self._closed or len(self._waiting) >= self._queue_limit + free:
                raise QueueFullError
            self._waiting.append(generation)
            self._changed.notify()

    def cancel(self, generation: Generation) -> None:
        """Stop a generation, even in the middle of its prompt; it gets no more events."""
        with self._changed:
            generation.cancelled = True
            if any(r.generation is generation and r.prefilling for r in self._running.values()):
                self._decoder.abort()
            self._changed.notify()

    def close(self) -> None:
        """Make `run` return; what is unfinished fails."""
        with self._changed:
            self._closed = True
            self._decoder.abort()
            self._changed.notify()

    def run(self) -> None:
        """Work until `close`."""
        try:
            while self._wait_for_work():
                self.step()
        finally:
            self._closed = True
            self._fail([*self._waiting, *(r.generation for r in self._running.values())])

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._running)
            return not self._closed

    def step(self) -> None:
        """Admit what fits, feed one batch, deliver what was sampled."""
        self._admit()
        fed = self._feed()
        if not fed:
            return
        try:
            self._decoder.decode()
        except AbortedError:
            self._roll_back(fed)
        except DecodeError as error:
            self._give_up(fed, str(error))
        else:
            self._sample(fed)

    def _admit(self) -> None:
        with self._changed:
            if not self._closed:
                self._decoder.resume()
            for slot in [s for s, r in self._running.items() if r.generation.cancelled]:
                self._leave(slot)
            free = (s for s in range(self._decoder.slots) if s not in self._running)
            for slot in list(free):
                generation = self._next_waiting()
                if generation is None:
                    return
                self._running[slot] = Running(generation, slot, self._speller)

    def _next_waiting(self) -> Generation | None:
        while self._waiting:
            generation = self._waiting.popleft()
            if not generation.cancelled:
                return generation
        return None

    def _leave(self, slot: int) -> None:
        del self._running[slot]
        self._decoder.forget(slot)

    def _feed(self) -> dict[int, tuple[int, int | None]]:
        """Fill a batch, one-token sequences first. Slot -> (tokens fed, index to sample at)."""
        fed: dict[int, tuple[int, int | None]] = {}
        for running in sorted(self._running.values(), key=lambda r: r.prefilling):
            tokens = running.next_tokens(self._decoder.room)
            if tokens:
                samples = running.reaches_end(len(tokens))
                index = self._decoder.add(running.slot, running.position, tokens, sample=samples)
                fed[running.slot] = (len(tokens), index if samples else None)
        return fed

    def _roll_back(self, fed: Iterable[int]) -> None:
        for slot in fed:
            self._decoder.forget(slot, self._running[slot].position)

    def _give_up(self, fed: Iterable[int], reason: str) -> None:
        with self._changed:
            failed = [self._running[slot].generation for slot in fed]
            for slot in list(fed):
                self._leave(slot)
        self._fail(failed, reason)

    def _sample(self, fed: dict[int, tuple[int, int | None]]) -> None:
        deliveries: list[tuple[Generation, Event]] = []
        for slot, (count, index) in fed.items():
            running = self._running[slot]
            events = [] if index is None else running.accept(self._decoder.logits(index))
            running.position += count
            deliveries += [(running.generation, event) for event in events]
            if events and isinstance(events[-1], Finished):
                with self._changed:
                    self._leave(slot)
        if deliveries:
            self._deliver(deliveries)

    def _fail(self, generations: Iterable[Generation], reason: str = "the engine stopped") -> None:
        self._deliver([(generation, Failed(reason)) for generation in generations])


def _hand_over(deliveries: Deliveries) -> None:
    for generation, event in deliveries:
        generation.deliver(event)
