"""A sitting: answers to grade, one after the other, leased a few ahead and sent one behind.

What was graded last stays here until the next query is graded, or for ``HELD_S``, so that it can be
taken back: a label that was sent is never changed.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Literal, Protocol, Self, TypeAlias

from dashboard.control import Refused

Verdict: TypeAlias = Literal["good", "bad", "unsure"]
VALUES: dict[Verdict, float | None] = {"good": 1.0, "bad": 0.0, "unsure": None}

AHEAD = 8  # queries leased at once
FEW = 4  # left of them, when more are leased
HELD_S = 5.0
LOOK_S = 5.0  # between two questions whether there is more, once there is none
GLANCE_S = 0.3  # a key this soon after its answer was drawn is a slip: nobody read it
MARGIN = timedelta(seconds=20)  # of a lease: no query is shown that could not be sent in time
SKIPPED = 1_000  # that are remembered, the last ones


class Api(Protocol):
    """The labels of the control plane's API; raises ``ControlUnavailable``, ``Refused``."""

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What it answers to a body."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, behind its blind key."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A leased query: its messages, and the answers to grade."""

    decision_id: str
    at: str
    prompt: Sequence[Mapping[str, Any]]
    answers: tuple[Answer, ...]
    leased_until: datetime

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> Self:
        """As the API tells it."""
        answers = tuple(Answer(each["key"], each["text"]) for each in task["answers"])
        until = datetime.fromisoformat(task["leased_until"])
        return cls(task["decision_id"], task["at"], task["prompt"], answers, until)


@dataclass(slots=True)
class Done:
    """A query that is left behind: graded, or skipped where ``verdicts`` is None; and when."""

    query: Query
    verdicts: dict[str, Verdict] | None
    at_s: float


@dataclass(slots=True)
class Sitting:
    """One labeller's queries: ``ahead`` (the first is shown), and ``behind``, not sent yet."""

    labeller: str
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ahead: deque[Query] = field(default_factory=deque)
    behind: deque[Done] = field(default_factory=deque)
    verdicts: dict[str, Verdict] = field(default_factory=dict)  # of the shown query
    skipped: deque[str] = field(default_factory=lambda: deque(maxlen=SKIPPED))
    waiting: int | None = None  # queries that wait for this labeller; None before the first lease
    sent: int = 0  # answers of which the control plane has the label
    passed: int = 0  # queries
    taken_s: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=3))
    number: int = 0  # of what is shown: it grows with each key
    _drawn_s: float | None = None
    _looked_s: float = float("-inf")
    _more: bool = True

    @property
    def query(self) -> Query | None:
        """What is shown."""
        return self.ahead[0] if self.ahead else None

    @property
    def answer(self) -> Answer | None:
        """Which of its answers is to be graded."""
        left = self.query.answers[len(self.verdicts) :] if self.query else ()
        return left[0] if left else None

    @property
    def graded(self) -> int:
        """Answers graded in this sitting, those not sent yet included."""
        held = sum(len(done.verdicts or ()) for done in self.behind)
        return self.sent + held + len(self.verdicts)

    @property
    def undoable(self) -> bool:
        """Whether there is a verdict, or a skip, that was not sent."""
        return bool(self.verdicts or self.behind)

    @property
    def pace_s(self) -> float | None:
        """Median seconds from an answer shown to its verdict."""
        return median(self.taken_s) if self.taken_s else None

    def drawn(self) -> None:
        """The answer was drawn just now, if it was not before."""
        if self._drawn_s is None:
            self._drawn_s = self.clock()

    def grade(self, number: int, verdict: Verdict) -> None:
        """A verdict on what was shown under that number; too soon, or too late, it is none."""
        answer, shown_s = self.answer, self._shown_s()
        if number != self.number or answer is None or shown_s < GLANCE_S:
            return
        self.taken_s.append(shown_s)
        self.verdicts[answer.key] = verdict
        if self.answer is None:
            self._leave(self.verdicts)
        self._turn()

    def skip(self, number: int) -> None:
        """Leave the query that was shown under that number to others."""
        if number == self.number and self.query and self._shown_s() >= GLANCE_S:
            self._leave(None)
            self._turn()

    def undo(self, number: int) -> None:
        """Take back the last verdict or skip that was not sent; its answer is shown again."""
        if number != self.number or not self.undoable:
            return
        if not self.verdicts:
            last = self.behind.pop()
            self.ahead.appendleft(last.query)
            self.verdicts = last.verdicts or {}
        if self.verdicts:
            self.verdicts.popitem()
        self._turn()

    def settle(self, api: Api) -> None:
        """Send what is held long enough, and lease more where few are left.

        Raises ``ControlUnavailable``; then nothing is lost, and the next time tries again.
        """
        while self.behind and self._ripe(self.behind[0]):
            self._send(api, self.behind[0])
            self.behind.popleft()
        if len(self.ahead) < FEW and self._may_look():
            self._lease(api)

    def prune(self) -> None:
        """Drop queries whose lease ends; they come again, to this labeller or to another."""
        ends = self.now() + MARGIN
        if self.ahead and self.ahead[0].leased_until <= ends:
            self.verdicts = {}
            self._turn()
        self.ahead = deque(query for query in self.ahead if query.leased_until > ends)

    def _shown_s(self) -> float:
        return 0.0 if self._drawn_s is None else self.clock() - self._drawn_s

    def _turn(self) -> None:
        self.number += 1
        self._drawn_s = None

    def _leave(self, verdicts: dict[str, Verdict] | None) -> None:
        self.behind.append(Done(self.ahead.popleft(), verdicts, self.clock()))
        self.verdicts = {}

    def _ripe(self, done: Done) -> bool:
        return len(self.behind) > 1 or self.clock() - done.at_s >= HELD_S

    def _send(self, api: Api, done: Done) -> None:
        which = self._which(done.query)
        try:
            if done.verdicts is None:
                api.post("/v1/labels/return", which)
                self.skipped.append(done.query.decision_id)
                self.passed += 1
                return
            verdicts = [{"key": k, "value": VALUES[said]} for k, said in done.verdicts.items()]
            api.post("/v1/labels", which | {"verdicts": verdicts})
            self.sent += len(verdicts)
        except Refused as refusal:
            self.notes.append(f"A verdict was not taken: {refusal}")

    def _which(self, query: Query) -> dict[str, Any]:
        return {"decision_id": query.decision_id, "at": query.at, "labeller": self.labeller}

    def _may_look(self) -> bool:
        """At once while there was enough, else now and then."""
        return self._more or self.clock() - self._looked_s >= LOOK_S

    def _lease(self, api: Api) -> None:
        self._looked_s = self.clock()
        here = [done.query.decision_id for done in self.behind if done.verdicts is None]
        asked = {
            "labeller": self.labeller,
            "limit": AHEAD - len(self.ahead),
            "skipped": [*self.skipped, *here],
        }
        told = api.post("/v1/labels/lease", asked)
        self.waiting = int(told["waiting"])
        self._more = len(told["tasks"]) == asked["limit"]
        self.ahead.extend(map(Query.of, told["tasks"]))
