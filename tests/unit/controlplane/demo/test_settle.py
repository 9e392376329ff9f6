from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from controlplane.connection import Connection
from controlplane.demo import ledger, settle
from controlplane.demo.ledger import Counts
from controlplane.launch import Part, PartFailedError

NOWHERE = cast(Connection, None)
DONE = Counts(10, 10, 10, 4, 0, 0, 0, 4)


class ScriptedPart:
    """A part that does what it is told, or has ended."""

    def __init__(self, *, ended: bool = False) -> None:
        self.told: list[str] = []
        self._ended = ended

    def check(self) -> None:
        if self._ended:
            raise PartFailedError("data plane ended with code 1")

    def terminate(self) -> None:
        self.told.append("terminate")

    def wait(self, deadline_s: float) -> None:
        self.told.append("wait")


def run(
    monkeypatch: pytest.MonkeyPatch, states: Iterator[Counts], verifier: Any, *watched: Any
) -> Counts:
    monkeypatch.setattr(ledger, "counts", lambda _: next(states))
    monkeypatch.setattr(settle, "POLL_S", 0.0)
    monkeypatch.setattr(settle, "DEADLINE_S", 0.05)
    return settle.settle(NOWHERE, cast(Part, verifier), list(watched), 10)


def test_the_labeller_is_told_to_hand_in_when_all_else_has_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifier = ScriptedPart()

    def states() -> Iterator[Counts]:
        for counts in (
            replace(DONE, completions=9),
            replace(DONE, observed=9),
            replace(DONE, shadows_awaited=1),
        ):
            assert verifier.told == []
            yield counts
            yield counts
            yield DONE
        yield replace(DONE, labels_awaited=1)
        assert verifier.told == ["terminate", "wait"]
        yield DONE
        yield replace(DONE, labels_to_learn=1)
        yield DONE

    assert run(monkeypatch, states(), verifier) == DONE


def test_what_is_left_to_people_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    left = replace(DONE, labels_awaited=3, labels_to_learn=3)
    monkeypatch.setattr(ledger, "counts", lambda _: left)
    monkeypatch.setattr(settle, "DEADLINE_S", 0.05)
    assert settle.settle(NOWHERE, cast(Part, ScriptedPart()), [], 10, left=3) == left
    with pytest.raises(PartFailedError, match="labels: not complete"):
        settle.settle(NOWHERE, cast(Part, ScriptedPart()), [], 10, left=2)


def forever(counts: Counts) -> Iterator[Counts]:
    while True:
        yield counts


def test_what_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PartFailedError, match="shadow answers: not complete"):
        run(monkeypatch, forever(replace(DONE, shadows_awaited=2)), ScriptedPart())


def test_a_part_that_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = forever(replace(DONE, completions=3))
    with pytest.raises(PartFailedError, match="data plane ended"):
        run(monkeypatch, lost, ScriptedPart(), ScriptedPart(ended=True))
