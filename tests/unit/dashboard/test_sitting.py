"""A sitting, against an API that hands out queries and keeps what it is told."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboard.control import ControlUnavailable, Refused
from dashboard.sitting import AHEAD, FEW, GLANCE_S, HELD_S, Sitting

NOW = datetime(2026, 3, 1, tzinfo=UTC)
READ_S = 1.0


def task(number: int, answers: int = 1, until: datetime = NOW + timedelta(minutes=5)) -> Any:
    return {
        "decision_id": f"d{number}", "at": "2026-03-01T00:00:00Z",
        "prompt": [{"role": "user", "content": "3 + 4 ="}],
        "answers": [{"key": key, "text": f"{number}{key}"} for key in "abc"[:answers]],
        "leased_until": until.isoformat(),
    }  # fmt: skip


class Queue:
    """The control plane: its tasks, its calls, and what it fails with."""

    def __init__(self, tasks: Iterable[Any]) -> None:
        self.tasks = list(tasks)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fails: Exception | None = None

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.fails is not None:
            raise self.fails
        self.calls.append((path.rpartition("/")[2], body))
        if not path.endswith("lease"):
            return {"status": "labelled"}
        leased, self.tasks = self.tasks[: body["limit"]], self.tasks[body["limit"] :]
        return {"tasks": leased, "waiting": len(self.tasks)}

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [body for name, body in self.calls if name == kind]


class Reviewer:
    """Presses keys a second after each answer was drawn, as the page would."""

    def __init__(self, queue: Queue) -> None:
        self.at_s = 0.0
        self.sitting = Sitting("anna", lambda: self.at_s, lambda: NOW)
        self.queue = queue
        self.look()

    def look(self) -> None:
        self.sitting.prune()
        self.sitting.settle(self.queue)
        if self.sitting.answer:
            self.sitting.drawn()

    def press(self, keys: str, after_s: float = READ_S) -> None:
        for key in keys:
            self.at_s += after_s
            number = self.sitting.number
            match key:
                case "S":
                    self.sitting.skip(number)
                case "Z":
                    self.sitting.undo(number)
                case _:
                    self.sitting.grade(number, {"G": "good", "B": "bad", "U": "unsure"}[key])  # type: ignore[arg-type]  # one of the three
            self.look()

    @property
    def shown(self) -> str | None:
        return self.sitting.answer.text if self.sitting.answer else None


def told(queue: Queue) -> list[tuple[str, list[float | None]]]:
    return [
        (body["decision_id"], [verdict["value"] for verdict in body["verdicts"]])
        for body in queue.of("labels")
    ]


def test_answers_come_one_by_one_and_are_sent_one_behind() -> None:
    queue = Queue(map(task, range(3)))
    anna = Reviewer(queue)
    anna.press("G")
    assert (anna.shown, told(queue)) == ("1a", [])
    anna.press("BU")
    assert told(queue) == [("d0", [1.0]), ("d1", [0.0])]
    assert anna.sitting.graded == 3
    anna.at_s += HELD_S
    anna.look()
    assert told(queue)[-1] == ("d2", [None])
    assert (anna.shown, anna.sitting.sent, anna.sitting.undoable) == (None, 3, False)


def test_all_answers_of_a_query_are_sent_together() -> None:
    queue = Queue([task(0, answers=2), task(1)])
    anna = Reviewer(queue)
    anna.press("G")
    assert anna.shown == "0b"
    anna.press("BG")
    assert told(queue) == [("d0", [1.0, 0.0])]


def test_undo_takes_back_what_was_not_sent_and_no_more() -> None:
    queue = Queue([task(0, answers=2), task(1), task(2)])
    anna = Reviewer(queue)
    anna.press("GBZ")
    assert anna.shown == "0b"
    anna.press("ZZ")
    assert (anna.shown, anna.sitting.graded, anna.sitting.undoable) == ("0a", 0, False)
    anna.press("BGGZ")
    assert (anna.shown, told(queue)) == ("1a", [("d0", [0.0, 1.0])])
    anna.press("Z")
    assert anna.shown == "1a"  # the one before was sent: it stands


def test_a_skipped_query_goes_back_and_is_not_asked_for_again() -> None:
    queue = Queue(map(task, range(AHEAD + 1)))
    anna = Reviewer(queue)
    anna.press("SZ")
    assert (anna.shown, queue.of("return")) == ("0a", [])
    anna.press("S" + "G" * (AHEAD - FEW))
    assert [body["decision_id"] for body in queue.of("return")] == ["d0"]
    assert queue.of("lease")[-1]["skipped"] == ["d0"]
    assert "d0" not in dict(told(queue))


def test_a_key_that_came_too_soon_or_for_another_answer_is_none() -> None:
    anna = Reviewer(Queue(map(task, range(3))))
    anna.press("G", after_s=GLANCE_S / 2)
    assert anna.shown == "0a"
    anna.press("G")
    anna.at_s += READ_S
    anna.sitting.grade(0, "bad")  # the key of the answer before
    assert (anna.shown, anna.sitting.graded) == ("1a", 1)


def test_a_few_are_leased_ahead() -> None:
    queue = Queue(map(task, range(20)))
    anna = Reviewer(queue)
    assert [body["limit"] for body in queue.of("lease")] == [AHEAD]
    anna.press("G" * (AHEAD - FEW + 1))
    assert [body["limit"] for body in queue.of("lease")] == [AHEAD, AHEAD - FEW + 1]
    assert len(anna.sitting.ahead) == AHEAD


def test_an_empty_queue_is_asked_now_and_then() -> None:
    queue = Queue([])
    anna = Reviewer(queue)
    anna.look()
    assert len(queue.of("lease")) == 1
    queue.tasks = [task(0)]
    anna.at_s += HELD_S
    anna.look()
    assert anna.shown == "0a"


def test_what_was_not_taken_is_told_and_what_did_not_arrive_is_sent_again() -> None:
    queue = Queue(map(task, range(4)))
    anna = Reviewer(queue)
    anna.press("G")
    queue.fails = ControlUnavailable("it does not answer")
    with pytest.raises(ControlUnavailable):
        anna.press("B")
    assert (anna.shown, anna.sitting.graded) == ("2a", 2)
    queue.fails = Refused("the lease ended")
    anna.sitting.drawn()
    anna.press("B")
    assert list(anna.sitting.notes) == ["A verdict was not taken: the lease ended"] * 2
    queue.fails = None
    anna.sitting.drawn()
    anna.press("G")
    assert told(queue) == [("d2", [0.0])]


def test_a_query_whose_lease_ends_is_not_shown() -> None:
    soon = NOW + timedelta(seconds=10)
    anna = Reviewer(Queue([task(0, answers=2), task(1)]))
    anna.press("G")
    anna.sitting.now = lambda: NOW + timedelta(minutes=5) - timedelta(seconds=10)
    anna.look()
    assert (anna.shown, anna.sitting.graded) == (None, 0)
    assert Reviewer(Queue([task(2, until=soon)])).sitting.query is not None
