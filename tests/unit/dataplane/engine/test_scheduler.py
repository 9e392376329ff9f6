"""Continuous batching over a decoder that follows a script instead of a model."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dataplane.engine.generation import Event, Failed, Finished, Generation, Piece
from dataplane.engine.llama import AbortedError, DecodeError
from dataplane.engine.scheduler import QueueFullError, Scheduler

END = 0
SIZE = 128


class Ascii:
    """Token n spells chr(n); 0 ends."""

    def ends(self, token: int) -> bool:
        return token == END

    def piece(self, token: int) -> bytes:
        return bytes([token])


class ScriptedDecoder:
    """After token n comes n + 1; `batches` is what it was fed, `memory` what each slot holds."""

    def __init__(self, slots: int = 2, batch: int = 8) -> None:
        self.slots = slots
        self.batches: list[list[tuple[int, int, int]]] = []
        self.memory: dict[int, list[int]] = {slot: [] for slot in range(slots)}
        self.fail: Iterator[Exception | None] = iter(())
        self.aborted = False
        self._size = batch
        self._batch: list[tuple[int, int, int]] = []

    @property
    def room(self) -> int:
        return self._size - len(self._batch)

    def add(self, slot: int, position: int, tokens: Sequence[int], *, sample: bool) -> int:
        assert len(tokens) <= self.room
        self._batch += [(slot, position + i, token) for i, token in enumerate(tokens)]
        return len(self._batch) - 1

    def decode(self) -> None:
        batch, self._batch = self._batch, []
        for slot, position, token in batch:
            assert position == len(self.memory[slot])
            self.memory[slot].append(token)
        if error := next(self.fail, None):
            raise error
        self.batches.append(batch)

    def logits(self, index: int) -> NDArray[np.float32]:
        logits = np.zeros(SIZE, np.float32)
        logits[self.batches[-1][index][2] + 1] = 50
        return logits

    def forget(self, slot: int, position: int = 0) -> None:
        del self.memory[slot][position:]

    def abort(self) -> None:
        self.aborted = True

    def resume(self) -> None:
        self.aborted = False


Ask = Callable[..., tuple[Generation, list[Event]]]


@pytest.fixture
def decoder() -> ScriptedDecoder:
    return ScriptedDecoder()


@pytest.fixture
def scheduler(decoder: ScriptedDecoder) -> Scheduler:
    return Scheduler(decoder, Ascii(), queue_limit=1)


@pytest.fixture
def ask(scheduler: Scheduler) -> Ask:
    def submit(
        prompt: str, max_tokens: int = 3, **options: object
    ) -> tuple[Generation, list[Event]]:
        events: list[Event] = []
        generation = Generation(
            list(prompt.encode()),
            max_tokens,
            events.append,
            temperature=0.0,
            **options,  # type: ignore[arg-type]  # a test's keywords
        )
        scheduler.submit(generation)
        return generation, events

    return submit


def finish(scheduler: Scheduler, *asked: list[Event]) -> None:
    for _ in range(100):
        if all(events and isinstance(events[-1], Finished | Failed) for events in asked):
            return
        scheduler.step()
    pytest.fail("not finished after 100 steps")


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Piece))


def end(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def test_two_generations_share_every_step(
    scheduler: Scheduler, decoder: ScriptedDecoder, ask: Ask
) -> None:
    (_, first), (_, second) = ask("xa"), ask("A")
    finish(scheduler, first, second)
    assert (said(first), said(second)) == ("bcd", "BCD")
    assert [len(batch) for batch in decoder.batches] == [3, 2, 2]
    assert decoder.memory == {0: [], 1: []}


def test_counts_and_timings_are_those_of_the_generation(scheduler: Scheduler, ask: Ask) -> None:
    _, events = ask("xa")
    finish(scheduler, events)
    finished = end(events)
    assert (finished.reason, finished.prompt_tokens, finished.completion_tokens) == ("length", 2, 3)
    timings = finished.timings
    assert timings.ttft_ms == pytest.approx(timings.queue_ms + timings.prompt_ms)
    assert timings.tokens_per_s is not None
    assert timings.tokens_per_s > 0


def test_a_token_carries_its_log_probability(scheduler: Scheduler, ask: Ask) -> None:
    _, events = ask("a", 1, top_logprobs=2)
    finish(scheduler, events)
    [piece] = [event for event in events if isinstance(event, Piece)]
    [token] = piece.tokens
    assert token.piece == b"b"
    assert token.logprob == pytest.approx(0, abs=1e-9)
    assert [candidate.piece for candidate in token.top][:1] == [b"b"]
    assert len(token.top) == 2


def test_an_ending_token_ends_and_is_not_shown(scheduler: Scheduler, ask: Ask) -> None:
    class EndsAtD(Ascii):
        def ends(self, token: int) -> bool:
            return token == ord("d")

    scheduler._speller = EndsAtD()
    _, events = ask("a", 99)
    finish(scheduler, events)
    assert said(events) == "bc"
    assert (end(events).reason, end(events).completion_tokens) == ("stop", 2)


def test_a_stop_string_ends_and_is_not_shown(scheduler: Scheduler, ask: Ask) -> None:
    _, events = ask("a", 99, stop=("de",))
    finish(scheduler, events)
    assert said(events) == "bc"
    assert (end(events).reason, end(events).completion_tokens) == ("stop", 4)


def test_a_long_prompt_is_fed_in_chunks_beside_a_running_answer(
    scheduler: Scheduler, decoder: ScriptedDecoder, ask: Ask
) -> None:
    _, short = ask("a", 5)
    scheduler.step()
    _, long = ask("A" * 20, 1)
    finish(scheduler, short, long)
    assert (said(short), said(long)) == ("bcdef", "B")
    fed = [[slot for slot, _, _ in batch] for batch in decoder.batches]
    assert fed == [[0], [0, *[1] * 7], [0, *[1] * 7], [0, *[1] * 6], [0]]


def test_those_who_wait_come_in_as_soon_as_a_slot_is_free(scheduler: Scheduler, ask: Ask) -> None:
    (_, first), (_, second), (_, third) = ask("a", 1), ask("b", 4), ask("c", 1)
    with pytest.raises(QueueFullError):
        ask("d")
    scheduler.step()
    assert (scheduler.slots_busy, scheduler.queue_depth) == (1, 1)
    scheduler.step()
    assert (said(first), said(second), said(third)) == ("b", "cd", "d")


def test_a_cancelled_generation_leaves_its_slot_and_says_no_more(
    scheduler: Scheduler, decoder: ScriptedDecoder, ask: Ask
) -> None:
    (gone, first), (_, second) = ask("a", 9), ask("b", 3)
    scheduler.step()
    scheduler.cancel(gone)
    finish(scheduler, second)
    assert said(first) == "b"
    assert decoder.memory == {0: [], 1: []}


def test_one_that_waits_can_be_cancelled(scheduler: Scheduler, ask: Ask) -> None:
    (
        _,
        _,
        (waiting, events),
    ) = ask("a", 1), ask("b", 1), ask("c", 1)
    scheduler.cancel(waiting)
    scheduler.step()
    scheduler.step()
    assert events == []
    assert (scheduler.slots_busy, scheduler.queue_depth) == (0, 0)


def test_only_a_prompt_that_is_being_fed_is_aborted(
    scheduler: Scheduler, decoder: ScriptedDecoder, ask: Ask
) -> None:
    (answering, _), (prefilling, _) = ask("a", 9), ask("A" * 50, 9)
    scheduler.step()
    scheduler.cancel(answering)
    assert not decoder.aborted
    scheduler.cancel(prefilling)
    assert decoder.aborted
    scheduler.step()
    assert not decoder.aborted


def test_an_aborted_step_is_taken_back_for_the_others(
    scheduler: Scheduler, decoder: ScriptedDecoder, ask: Ask
) -> None:
    (_, other), (gone, _) = ask("a", 4), ask("A" * 50, 9)
    scheduler.step()
    decoder.fail = iter([AbortedError()])
    scheduler.step()
    scheduler.cancel(gone)
    finish(scheduler, other)
    assert said(other) == "bcde"
    assert decoder.memory == {0: [], 1: []}


def test_a_failed_step_fails_its_generations_and_no_later_ones(
    scheduler: Scheduler, decoder: ScriptedDecoder, ask: Ask
) -> None:
    _, first = ask("a")
    decoder.fail = iter([DecodeError("llama_decode returned -3")])
    scheduler.step()
    assert first == [Failed("llama_decode returned -3")]
    _, second = ask("b")
    finish(scheduler, second)
    assert said(second) == "cde"


def test_closing_fails_whatever_is_unfinished(scheduler: Scheduler, ask: Ask) -> None:
    (_, running), (_, other) = ask("a", 99), ask("b", 99)
    scheduler.step()
    scheduler.close()
    scheduler.run()
    assert isinstance(running[-1], Failed)
    assert isinstance(other[-1], Failed)
    with pytest.raises(QueueFullError):
        ask("c")
