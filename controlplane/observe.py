"""Records to typed observations, by watermark: what is new, and what has been labelled.

The watermark is a vector: how far each spool segment of each data plane was read. A spool that
arrives late is therefore read when it arrives, once, whatever its decisions' times.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from controlplane.connection import Connection
from controlplane.observations import Labelled, Observation, Place, Used
from controlplane.sql import SQL
from dataplane.features import Features
from dataplane.strategies import Drawn

BATCH = 2_000  # completions in one cycle: a backlog is worked off in steps
UNDRAWN = {"shadow_probability": 0.0, "rival": None}
BEFORE_ALL = ("-infinity", "-infinity", str(UUID(int=0)))


class Source(NamedTuple):
    """A spool segment of a data plane."""

    plane: str
    segment: int


MEMORY = Source("memory", 0)


class DecisionKey(NamedTuple):
    """A decision's primary key, the partition's column first."""

    at: datetime
    id: UUID


Watermark: TypeAlias = Mapping[Source, int]
Wanted: TypeAlias = Sequence[DecisionKey]


class Log(Protocol):
    """What the cycle reads. Both calls belong to the transaction that moves the watermark."""

    def new(self, watermark: Watermark) -> tuple[list[Observation], Watermark]:
        """Queries answered beyond the watermark, by decision id, and the watermark after them.

        Opens the label and shadow tasks of their draws; opening a task twice does nothing.
        """
        ...

    def labelled(self) -> list[Labelled]:
        """Labels that came since they were last asked for, by decision id, each given once."""
        ...

    def in_order(self, after: Place) -> tuple[list[Labelled], Place]:
        """Audit draws beyond a place, in the order in which they were observed, and where they end.

        Up to the first one that is not resolved: whatever order the labels came in. A silent one
        has no label. The place before all others is empty.
        """
        ...


class PostgresLog:
    """The log in the tables, within the connection's transaction.

    ``resolved`` counts the draws that ``labelled`` found resolved, with a label or without one.
    Of which queries two people are asked, ``twice`` says; applications whose words are more than
    ``tolerance`` apart settle nothing.
    """

    def __init__(
        self,
        connection: Connection,
        batch: int = BATCH,
        *,
        twice: Callable[[UUID], bool] = lambda _: False,
        tolerance: float = 0.0,
    ) -> None:
        self._connection = connection
        self._batch = batch
        self._twice = twice
        self._tolerance = tolerance
        self.resolved = 0

    def new(self, watermark: Watermark) -> tuple[list[Observation], Watermark]:
        """See ``Log``; takes ``batch`` completions at most."""
        moved = dict(watermark)
        wanted: list[DecisionKey] = []
        room = self._batch
        for source, span in news(self._connection, watermark):
            if not room:
                break
            until, taken = self._cut(span, room)
            completed = self._rows("completed", {**span, "until": until})
            wanted += [key_of(entry) for entry in completed]
            moved[source] = until
            room -= min(taken, room)
        self._open_tasks(wanted)
        return self.observations(wanted), moved

    def labelled(self) -> list[Labelled]:
        """See ``Log``; those without a single label are marked, and not returned."""
        self._connection.execute(SQL["settle_by_application"], {"tolerance": self._tolerance})
        taken = self._rows("take_resolved", {})
        self.resolved += len(taken)
        return self._told([row for row in taken if row["status"] == "labelled"])

    def in_order(self, after: Place) -> tuple[list[Labelled], Place]:
        """See ``Log``; takes ``batch`` draws at most."""
        created_at, at, id_ = after or BEFORE_ALL
        begin = {"after": created_at, "at": at, "id": id_, "limit": self._batch}
        rows = self._rows("resolved_beyond", begin)
        if not rows:
            return [], after
        told = {each.observation.decision_id: each for each in self._told(rows)}
        last = rows[-1]
        reached = (last["created_at"].isoformat(), last["at"].isoformat(), str(last["decision_id"]))
        return [told[row["decision_id"]] for row in rows if row["decision_id"] in told], reached

    def recent(self, limit: int) -> list[Observation]:
        """The last so many answered queries by decision id, observed or not."""
        rows = self._rows("recent_completions", {"limit": limit})
        return self.observations([key_of(row) for row in rows])

    def latest(self, limit: int) -> list[Labelled]:
        """The last so many labelled queries by decision id, learned from or not; marks nothing."""
        return self._told(self._rows("latest_labelled", {"limit": limit}))

    def _told(self, rows: Sequence[Mapping[str, Any]]) -> list[Labelled]:
        told = {row["decision_id"]: row for row in rows}
        wanted = [key_of(row) for row in rows]
        if not wanted:
            return []
        right = self._labels(wanted)
        draws = {row.pop("decision_id"): row for row in self._rows("draws_of", arrays(wanted))}
        return [
            Labelled(
                observation=observation,
                right=right.get(observation.decision_id, {}),
                audit_probability=told[observation.decision_id]["probability"],
                **draws.get(observation.decision_id, UNDRAWN),
            )
            for observation in self.observations(wanted)
        ]

    def observations(self, wanted: Wanted) -> list[Observation]:
        """The wanted queries as serving left them, by decision id; the unknown are left out."""
        if not wanted:
            return []
        return [_observation(row) for row in self._rows("observations", arrays(wanted))]

    def _cut(self, source: Mapping[str, Any], room: int) -> tuple[int, int]:
        """How far to read a source, and how many completions lie before that."""
        (found,) = self._rows("cut", {**source, "limit": room})
        if found["completions"] < room:
            return source["arrived"], found["completions"]
        return found["reached"], found["completions"]

    def _open_tasks(self, wanted: Wanted) -> None:
        if wanted:
            doubled = {"doubled": [self._twice(key.id) for key in wanted]}
            self._connection.execute(SQL["open_label_tasks"], arrays(wanted) | doubled)
            self._connection.execute(SQL["open_shadow_tasks"], arrays(wanted))

    def _labels(self, wanted: Wanted) -> dict[UUID, dict[str, float]]:
        right: dict[UUID, dict[str, float]] = {}
        for row in self._rows("labels_of", arrays(wanted)):
            right.setdefault(row["decision_id"], {})[row["key"]] = row["value"]
        return right

    def _rows(self, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._connection.execute(SQL[name], parameters).fetchall()


def news(connection: Connection, watermark: Watermark) -> list[tuple[Source, Mapping[str, Any]]]:
    """Spool segments that arrived beyond the watermark: how far that has ``reached`` in each, and
    how far the segment has now ``arrived``.
    """
    found: list[tuple[Source, Mapping[str, Any]]] = []
    for row in connection.execute(SQL["arrived"]).fetchall():
        source = Source(row["plane"], row["segment"])
        reached = watermark.get(source, -1)
        if row["arrived"] > reached:
            found.append((source, row | {"reached": reached}))
    return found


def key_of(row: Mapping[str, Any]) -> DecisionKey:
    """The decision that a child row belongs to."""
    return DecisionKey(row["at"], row["decision_id"])


def arrays(wanted: Wanted) -> dict[str, list[Any]]:
    """Decisions as the two parallel arrays that the statements take."""
    return {"ats": [key.at for key in wanted], "ids": [key.id for key in wanted]}


def vector(watermark: Watermark) -> dict[str, list[Any]]:
    """A watermark as the three parallel arrays that the statements take."""
    return {
        "planes": [source.plane for source in watermark],
        "segments": [source.segment for source in watermark],
        "offsets": list(watermark.values()),
    }


def _observation(row: Mapping[str, Any]) -> Observation:
    return Observation(
        decision_id=row["id"],
        at=row["at"],
        segment=row["segment"],
        policy_version=row["policy_version"],
        features=Features.from_compact(row["features"]),
        answered=tuple(dict.fromkeys(row["answered"])),
        served=row["final_tier"],
        score=row["score"],
        cost_usd=row["cost_usd"],
        excluded=frozenset(row["excluded"]),
        used={tier: Used(*tokens) for tier, tokens in (row["used"] or {}).items()},
        models=row["models"] or {},
    )


@dataclass
class MemoryLog:
    """The log in memory: for replay, simulation and tests, held to the same battery.

    A label is taken for drawn and observed queries only, as the labels API takes them.
    """

    batch: int = BATCH
    _completed: dict[Source, list[Observation]] = field(default_factory=dict)
    _drawn: dict[UUID, tuple[Drawn, ...]] = field(default_factory=dict)
    _tasks: dict[UUID, Observation] = field(default_factory=dict)
    _resolved: list[Labelled] = field(default_factory=list)
    _order: list[UUID] = field(default_factory=list)
    _ended: dict[UUID, Labelled] = field(default_factory=dict)

    def complete(
        self,
        observation: Observation,
        drawn: Iterable[Drawn] = (),
        source: Source = MEMORY,
    ) -> None:
        """One more answered query, and the draws that fell on it."""
        self._completed.setdefault(source, []).append(observation)
        self._drawn[observation.decision_id] = tuple(drawn)

    @property
    def pending(self) -> Collection[UUID]:
        """Decisions whose answers want labels, in the order in which they were observed."""
        return self._tasks.keys()

    def resolve(
        self, decision_id: UUID, right: Mapping[str, float], score: float | None = None
    ) -> None:
        """The answers' labels by tier, and the judge's score of a shadow's local answer.

        Raises ``KeyError`` where no label was asked for, or it was given before.
        """
        observation = self._tasks.pop(decision_id)
        if score is not None and observation.score is None:
            observation = replace(observation, score=score)
        draws = {draw.kind: draw for draw in self._drawn.pop(decision_id)}
        audit, shadow = draws["audit"], draws.get("shadow")
        shadowed = shadow.probability if shadow else 0.0
        told = Labelled(observation, dict(right), audit.probability, shadowed, audit.rival)
        self._ended[decision_id] = told
        if right:
            self._resolved.append(told)

    def new(self, watermark: Watermark) -> tuple[list[Observation], Watermark]:
        """See ``Log``."""
        moved = dict(watermark)
        taken: list[Observation] = []
        for source in sorted(self._completed):
            start = moved.get(source, -1) + 1
            fresh = self._completed[source][start : start + self.batch - len(taken)]
            moved[source] = start + len(fresh) - 1
            taken += fresh
        taken.sort(key=lambda o: o.decision_id)
        for observation in taken:
            self._open(observation)
        return taken, moved

    def labelled(self) -> list[Labelled]:
        """See ``Log``."""
        resolved, self._resolved = self._resolved, []
        return sorted(resolved, key=lambda label: label.observation.decision_id)

    def in_order(self, after: Place) -> tuple[list[Labelled], Place]:
        """See ``Log``; those are given once."""
        start = int(after[0]) if after else 0
        found = []
        for decision_id in self._order[start:]:
            if decision_id not in self._ended:
                break
            found.append(self._ended.pop(decision_id))
        return found, (str(start + len(found)),) if found else after

    def _open(self, observation: Observation) -> None:
        drawn = self._drawn.get(observation.decision_id, ())
        if any(draw.kind == "audit" for draw in drawn):
            self._tasks[observation.decision_id] = observation
            self._order.append(observation.decision_id)
        else:
            self._drawn.pop(observation.decision_id, None)
