"""Monitor: the run as it is seen from outside, at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from controlplane import gates, registry
from controlplane.connection import Connection
from controlplane.demo import drift, ledger
from controlplane.demo.drift import DriftTold
from controlplane.demo.ledger import Counts, Estimate, Event
from controlplane.demo.lines import Line, Lines
from controlplane.demo.options import Options
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import SegmentPolicy

CHUNK = 200  # queries of one point in a course


@dataclass(frozen=True, slots=True)
class Picture:
    """What a view shows. Courses have a point per `CHUNK` queries, or per policy version."""

    served: int
    failed: int
    cost_usd: tuple[float, ...]
    local_share: tuple[float, ...]
    cloud_call_usd: float | None
    estimate: Estimate | None
    live: PolicyDocument
    course: tuple[SegmentPolicy, ...]
    counts: Counts
    news: tuple[Event, ...]
    gate: gates.GateReport
    drift: DriftTold | None = None

    @property
    def segment(self) -> SegmentPolicy:
        """How the live policy decides."""
        return self.live.segments[0]


class Monitor:
    """Puts pictures together from the workload's lines and the store."""

    def __init__(self, connection: Connection, lines: Lines, options: Options) -> None:
        self._connection = connection
        self._lines = lines
        self._options = options
        self._live: PolicyDocument | None = None
        self._course: list[SegmentPolicy] = []
        self._last_event = 0
        self._events: list[Event] = []

    def look(self, injected_at: int | None = None) -> Picture:
        """The run now; ``news`` are the events since the last look.

        ``injected_at``: the place of the drift's first query, if there is one.
        """
        lines = self._lines.so_far()
        live = self._look_up()
        news = ledger.events_since(self._connection, self._last_event)
        self._last_event = max((event.id for event in news), default=self._last_event)
        self._events += news
        return Picture(
            served=len(lines),
            failed=sum(line.error is not None for line in lines),
            cost_usd=course([line.cost_usd for line in lines]),
            local_share=course([float(line.tier == live.local.name) for line in lines]),
            cloud_call_usd=ledger.cloud_call_usd(self._connection, live.cloud.name),
            estimate=ledger.estimate(self._connection),
            live=live,
            course=tuple(self._course),
            counts=ledger.counts(self._connection),
            news=tuple(news),
            gate=gates.stand(self._connection, live)[live.segments[0].name],
            drift=self._drift(lines, injected_at),
        )

    def _drift(self, lines: Sequence[Line], injected_at: int | None) -> DriftTold | None:
        kind = self._options.drift
        if kind is None or injected_at is None:
            return None
        by_place = sorted(lines, key=lambda line: line.place)
        return drift.told(kind, injected_at, by_place, self._events, self._options.floor)

    def _look_up(self) -> PolicyDocument:
        newest = registry.latest(self._connection)
        assert newest is not None
        if self._live is None or self._live.version != newest.leading:
            self._live = registry.load(self._connection, newest.leading)
            self._course.append(self._live.segments[0])
        return self._live


def course(values: Sequence[float]) -> tuple[float, ...]:
    """Means of successive chunks; the last may be a short one.

    >>> course([])
    ()
    """
    chunks = (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))
    return tuple(sum(chunk) / len(chunk) for chunk in chunks)


def of_place(lines: Sequence[Line], first: int) -> list[Line]:
    """The lines from one place on."""
    return [line for line in lines if line.place >= first]
