"""What other policies would have done with one logged query, by the very code that serves."""

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.connection import Connection
from controlplane.evaluate.counterfactual import follow
from controlplane.evaluate.logged import Logged
from controlplane.explain import Decided, shelf
from controlplane.observations import Labelled
from controlplane.observe import DecisionKey, PostgresLog
from controlplane.registry import latest
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import millisecond
from dataplane.contract.terms import Mode


@dataclass(frozen=True, slots=True)
class Alternative:
    """One policy's course of a query.

    ``tier``: whose answer it would have served, None where that hinges on a score that nobody saw.
    ``right`` and ``usd`` are as that policy expects them, given what was seen; of calls that were
    made, what they cost. ``same``: whether that is the answer which was served.
    """

    name: str
    version: int
    mode: Mode
    tier: str | None
    judged: bool
    right: float
    usd: float
    same: bool


def alternatives(
    connection: Connection, decided: Decided, policy: PolicyDocument
) -> list[Alternative]:
    """Of the policy that decided, the one before it, the live one, and both ends.

    Empty for a query that was never completed.
    """
    key = DecisionKey(millisecond(decided.id), decided.id)
    seen = PostgresLog(connection).observations([key])
    if not seen:
        return []
    unlabelled = Labelled(seen[0], {}, 0.0, 0.0)
    query = Logged(unlabelled, policy, decided.seed, frozenset(decided.excluded))
    return [_of(name, each, query) for name, each in _others(connection, policy)]


def _others(connection: Connection, policy: PolicyDocument) -> Iterator[tuple[str, PolicyDocument]]:
    document, newest = shelf(connection), latest(connection)
    yield "the one that decided", policy
    before = policy.parent and document(policy.parent)
    if before:
        yield "the version before", before
    live = newest and document(newest.leading)
    if live:
        yield "the live one now", live
    yield "always-cloud", _always(policy, "always_cloud")
    yield "always-local", _always(policy, "always_local")


def _always(policy: PolicyDocument, mode: Mode) -> PolicyDocument:
    """The same beliefs, at an end of the curve: whatever is certified there."""
    segments = tuple(
        each.replaced(mode=mode, arms=(), certificate=None) for each in policy.segments
    )
    return policy.model_copy(update={"segments": segments})


def _of(name: str, document: PolicyDocument, query: Logged) -> Alternative:
    (course,) = follow(document, [query])
    segment = document.segment(query.seen.segment)
    same = course.tier is not None and course.tier == query.seen.served
    return Alternative(
        name, document.version, segment.mode, course.tier, course.judged, course.right,
        course.usd, same,
    )  # fmt: skip
