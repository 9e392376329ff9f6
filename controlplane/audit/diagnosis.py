"""What drifted: follows the queries and their labels, and says which cause they bear out.

It only watches: no policy, and nothing of the learner, hinges on it. What is said to people is
stricter than what the learner heeds: an alarm of the learner opens a case, and the labels of the
burst that it draws tell the cause; a cause that is sure is named without any alarm too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from controlplane.audit import cause_words
from controlplane.audit.cause import CAUSES, SURE, Cause, Look, best, chances
from controlplane.audit.certificates import Event
from controlplane.audit.memory import DIGITS, Memory
from controlplane.audit.prices import Prices, Repriced
from controlplane.observations import Labelled, Observation
from dataplane.contract.policy import PolicyDocument

WINDOWS = (200, 400, 800, 1_200, 1_800, 2_700)  # queries since a change may have begun
FINE = range(100, 4_000, 100)  # where one is dated
EVERY = 200  # queries between looks
SETTLED = 800  # queries for which more causes are looked for, once one is named
PATIENCE = 1_500  # and after an alarm for which none is
NEWER = 400  # labels, at least, before a newer estimator is tried
WANTED = 60  # labels that tell a loss of a quarter


@dataclass
class Case:
    """An alarm, or a cause that was named, and until which query it is followed.

    ``since``: when the change began (seconds), once a cause is named.
    """

    until: int
    alarm: str = ""
    opened: float = 0.0
    since: float | None = None
    named: list[Cause] = field(default_factory=list)

    @property
    def what(self) -> str:
        """The alarm, without its figures and what is done about it."""
        return self.alarm.partition(" (")[0]


@dataclass
class Diagnosis:
    """Its state is plain JSON. ``memories``: the one in use, and one that a newer estimator fills.

    Counts are of the queries that a policy could decide, as the learner has it.
    """

    memories: list[Memory] = field(default_factory=list)
    prices: Prices = field(default_factory=Prices)
    case: Case | None = None
    observed: int = 0
    looked: int = 0
    labels: int = 0
    ground: list[str] = field(default_factory=list)

    def review(
        self,
        live: PolicyDocument,
        observations: Sequence[Observation],
        labelled: Sequence[Labelled],
        alarms: Sequence[str],
    ) -> tuple[Event, ...]:
        """Take in what is new, and say what it tells; call it with each live policy."""
        self._follow(live)
        ends = live.local.name, live.cloud.name
        chosen = [each for each in observations if each.excluded.isdisjoint(ends)]
        events = [_repriced(each) for each in self.prices.review(live, chosen)]
        told = [
            each
            for each in labelled
            if each.observation.excluded.isdisjoint(ends) and ends[0] in each.right
        ]
        self.observed, self.labels = self.observed + len(chosen), self.labels + len(told)
        for memory in self.memories:
            for seen in chosen:
                memory.saw(seen, _clipped(live, seen))
            for each in told:
                memory.heard(each, each.right[ends[0]], _clipped(live, each.observation))
        return (*events, *self._opened(alarms), *self._told())

    def _follow(self, live: PolicyDocument) -> None:
        """Another local tier or judge is no drift; other answers are judged if trust moves."""
        ground = [live.local.name, live.judge.judge]
        trust = live.segments[0].trust
        if self.ground[:2] != ground:
            self.memories, self.case = [], None
        elif self.ground[2:] != [trust]:
            for memory in self.memories:
                memory.unscored()
        self.ground = [*ground, trust]
        learned = bool(live.estimators[0].buckets)
        if not self.memories and learned:
            self.memories = [Memory(live.estimators[0], self.labels)]
        if len(self.memories) == 1 and self.labels >= max(NEWER, 2 * self.memories[0].born):
            self.memories.append(Memory(live.estimators[0], self.labels))
        if self.case is None and len(self.memories) > 1 and self.memories[1].full:
            del self.memories[0]

    def _opened(self, alarms: Sequence[str]) -> Iterable[Event]:
        if alarms and self.case is None and self.memories and self.memories[0].seen:
            opened = self.memories[0].seen[-1].at
            self.case = Case(self.observed + PATIENCE, alarms[-1], opened)
            reason = (
                f"an alarm was raised ({self.case.what}): which cause is not told yet, "
                f"some {WANTED} labels from here on are missing"
            )
            yield "drift", {"reason": reason, "status": "open", "causes": []}

    def _told(self) -> Iterable[Event]:
        if not self.memories or self.observed - self.looked < EVERY:
            return
        self.looked = self.observed
        looks = self._looks()
        if looks:
            yield from self._named(looks)
        if self.case is not None and self.observed >= self.case.until:
            yield from self._closed(self.case)
            self.case = None

    def _looks(self) -> list[Look]:
        memory, case = self.memories[0], self.case
        if case is not None and case.since is not None:
            moments = [case.since]
        else:
            moments = [memory.last(w) for w in WINDOWS if w < len(memory.seen)]
        return [Look.at(times) for times in memory.times(moments)]

    def _named(self, looks: Sequence[Look]) -> Iterable[Event]:
        known = self.case.named if self.case else []
        sure = {cause: p for cause, p in chances(looks).items() if p >= SURE}
        news = [cause for cause in CAUSES if cause in sure and cause not in known]
        if not news:
            return
        look = best(looks, news[0])
        case = self.case or Case(0)
        case.named += news
        case.since, case.until = look.since, self.observed + SETTLED
        self.case = case
        since = datetime.fromtimestamp(look.since, UTC).isoformat(timespec="seconds")
        body: dict[str, object] = {
            "reason": f"since about {since}, {cause_words.named(case.named, look)}",
            "status": "named",
            "causes": list(case.named),
            "since": since,
            "chances": {cause: round(p, 4) for cause, p in sure.items()},
        }
        yield "drift", body

    def _closed(self, case: Case) -> Iterable[Event]:
        """A change that was named is what is usual from here on."""
        memory = self.memories[0]
        if case.named:
            fine = [memory.last(queries) for queries in FINE if queries < len(memory.seen)]
            looks = [Look.at(times) for times in memory.times(fine)]
            since = best(looks, case.named[0]).since if looks else case.since
            for each in self.memories:
                each.cut(since or 0.0)
            return
        looks = [Look.at(times) for times in memory.times([case.opened])]
        found = cause_words.unnamed(looks[0] if looks else None)
        reason = f"no cause of the alarm ({case.what}) is borne out: {found}"
        yield "drift", {"reason": reason, "status": "closed", "causes": []}

    def to_json(self) -> dict[str, Any]:
        """The whole state as JSON values."""
        return {
            "memories": [each.to_json() for each in self.memories],
            "prices": self.prices.to_json(),
            "case": self.case and asdict(self.case),
            "observed": self.observed,
            "looked": self.looked,
            "labels": self.labels,
            "ground": self.ground,
        }

    @classmethod
    def from_json(cls, state: dict[str, Any] | None) -> Self:
        """Inverse of ``to_json``; a new one of None."""
        if state is None:
            return cls()
        return cls(
            [Memory.from_json(each) for each in state["memories"]],
            Prices.from_json(state["prices"]),
            state["case"] and Case(**state["case"]),
            state["observed"],
            state["looked"],
            state["labels"],
            state["ground"],
        )


def _clipped(live: PolicyDocument, seen: Observation) -> float | None:
    return None if seen.score is None else round(live.judge.clip(seen.score), DIGITS)


def _repriced(found: Repriced) -> Event:
    return "drift", {
        "reason": found.words,
        "status": "named",
        "causes": ["price"],
        "factor": round(found.factor, 4),
        "tier": found.tier,
    }
