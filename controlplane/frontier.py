"""The frontier on the store: computed once an hour, sooner while queries are few, and kept.

It takes seconds, too long for a page to wait. What is kept is a row a point.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from controlplane import advice, proposals, registry, states
from controlplane.connection import Connect, Connection
from controlplane.cycle import OBSERVED
from controlplane.evaluate import frontier, logged
from controlplane.evaluate.frontier import Point, Window
from controlplane.evaluate.logged import Logged
from controlplane.evaluate.per_category import per_category
from controlplane.leader import Leader
from controlplane.learn.curve import curve
from controlplane.learn.settings import LearnerSettings
from controlplane.sql import SQL
from dataplane.contract.policy import PolicyDocument

STATE = "frontier"
LAST = 2_000  # queries that it looks back on
FIRST = 200  # before which nothing is computed
EVERY = timedelta(hours=1)
GROWTH = 1.5  # by so much more traffic, it is computed sooner
KEPT = timedelta(days=90)
STRUCTURAL = 3  # earlier policies, retunes aside, that are tried on the same queries
ALL = ""


class FrontierJob:
    """Computes the frontier where it is due. Only the leader's stays."""

    def __init__(self, connect: Connect, leader: Leader, settings: LearnerSettings) -> None:
        self._connect = connect
        self._leader = leader
        self._settings = settings

    def run(self, now: datetime) -> str | None:
        """How many points, in words; raises ``NotLeaderError`` where another took over."""
        with self._connect() as connection:
            observed = states.load_value(connection, OBSERVED, default=0)
            if not _due(states.load_value(connection, STATE, default=None), observed, now):
                return None
        return self.compute(now)

    def compute(self, now: datetime) -> str:
        """As ``run``, due or not."""
        with self._connect() as connection:
            observed = states.load_value(connection, OBSERVED, default=0)
            rows = [
                {"at": now, "segment": segment, **_row(point)}
                for segment, point in computed(connection, self._settings, now)
            ]
            with connection.cursor() as cursor:
                cursor.executemany(SQL["keep_frontier_point"], rows)
            connection.execute(SQL["forget_frontier"], {"before": now - KEPT})
            told = {"at": now.isoformat(), "observed": observed}
            states.save_value(connection, STATE, told)
            self._leader.check()
        return f"{len(rows)} points"


def _due(last: dict[str, Any] | None, observed: int, now: datetime) -> bool:
    if observed < FIRST:
        return False
    if last is None or observed >= GROWTH * last["observed"]:
        return True
    return observed > last["observed"] and now - datetime.fromisoformat(last["at"]) >= EVERY


def computed(
    connection: Connection, settings: LearnerSettings, now: datetime
) -> Iterator[tuple[str, Point]]:
    """The points of all segments together, and of each where there are several."""
    live = registry.live(connection)
    log = logged.read(connection, LAST, live.objective.accepts)
    if not log:
        return
    documents = list(_documents(connection, live))
    for point in _points(live, documents, log):
        yield ALL, point
    learner = advice.restored(connection, settings)
    basis = learner and learner.basis(live, now)
    if basis:
        arms = curve(basis, settings.mode)
        for point in frontier.of_arms(arms, live, Window.of(log), settings.support):
            yield ALL, point
    if len(live.segments) > 1:
        for segment in live.segments:
            part = [each for each in log if live.segment(each.seen.segment) is segment]
            for point in _points(live, documents, part) if part else ():
                yield segment.name, point


def _points(
    live: PolicyDocument,
    documents: list[tuple[frontier.Kind, PolicyDocument]],
    log: list[Logged],
) -> Iterator[Point]:
    yield frontier.as_served(log, live.objective.confidence)
    yield from frontier.of_versions(live, log)
    for kind, document in documents:
        yield frontier.of_document(kind, document, log)
    yield from frontier.baselines(live, log)
    yield from per_category(live, log)


def _documents(
    connection: Connection, live: PolicyDocument
) -> Iterator[tuple[frontier.Kind, PolicyDocument]]:
    """The live policy, the proposal that is on its way, and those that were in force before."""
    yield "live", live
    proposal = proposals.read(connection)
    if proposal is not None and proposal.stage in ("candidate", "shadow", "canary"):
        yield "candidate", registry.load(connection, proposal.version)
    earlier = connection.execute(
        SQL["structural_versions"], {"live": live.version, "limit": STRUCTURAL}
    )
    for row in earlier.fetchall():
        yield "version", registry.load(connection, row["version"])


def _row(point: Point) -> dict[str, Any]:
    quality, modelled = point.quality, point.method == "model"
    return {
        "kind": point.kind,
        "name": point.name,
        "policy_version": point.policy_version,
        "queries": point.window.queries,
        "since": point.window.since,
        "until": point.window.until,
        "quality": quality and quality.estimate,
        "quality_lo": quality and quality.low,
        "quality_hi": quality and quality.high,
        "usd": point.usd.estimate,
        "usd_lo": None if modelled else point.usd.low,
        "usd_hi": None if modelled else point.usd.high,
        "labels": point.labels,
        "method": point.method,
        "refused": point.refused,
    }
