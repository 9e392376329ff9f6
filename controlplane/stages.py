"""Stages: the proposal that is on its way, led from one to the next, and retunes watched over.

A turn of the cycle tells the rollout what it saw, within the turn's transaction; what that wants in
force is put there after it (``proposals.put_in_force``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane import proposals, registry
from controlplane.connection import Connection
from controlplane.events import record_event
from controlplane.observations import Observation, Place
from controlplane.observe import PostgresLog
from controlplane.promote import Terms
from controlplane.rollout import Rollout
from dataplane.contract.policy import PolicyDocument

RECENT = 2_000  # queries on which a proposal may part from the live policy


@dataclass(frozen=True, slots=True)
class Seen:
    """What a turn saw: the queries that were completed, and how far the gates were told of draws.

    ``frozen``: a proposal waits and retunes stay; but what went live may come back.
    """

    observations: Sequence[Observation]
    place: Place
    alarmed: bool
    frozen: bool
    now: datetime


def lead(
    connection: Connection, live: PolicyDocument, log: PostgresLog, seen: Seen, terms: Terms
) -> None:
    """Follow the proposal and the live policy's retunes for a turn."""
    rollout = proposals.load(connection)
    kept = registry.structural(connection, live.version)
    began = rollout.watch_over(live, kept, seen.now, alarmed=seen.alarmed)
    if began and not rollout.open:
        rollout.place = seen.place
    proposal = rollout.proposal if rollout.open else None
    held = kept if proposal is None else proposal.structural
    rollout.held_out = held if terms.holdout and held != live.version else None
    if proposal is not None:
        rollout.observe(seen.observations)
    if proposal is not None or rollout.watch is not None:
        rollout.hear(*log.in_order(rollout.place))
    rollout.look(seen.now)
    if not seen.frozen and rollout.give_back():
        assert rollout.watch is not None
        record_event(connection, "rollback", {"version": kept, "reason": rollout.watch.why})
    if proposal is not None and (not seen.frozen or proposal.stage == "live"):
        _step(connection, live, log, rollout, seen.now, terms)
    proposals.save(connection, rollout)


def _step(
    connection: Connection,
    live: PolicyDocument,
    log: PostgresLog,
    rollout: Rollout,
    now: datetime,
    terms: Terms,
) -> None:
    """The proposal in its next stage, if that is due."""
    assert rollout.proposal is not None
    known = proposals.known(connection, rollout.proposal, live.version)
    if not rollout.step(known, live.version, terms, now):
        return
    if rollout.proposal.stage == "shadow":
        proposals.ask(connection, rollout, live, log.recent(RECENT), terms)
    record_event(connection, "proposal", proposals.summary(rollout.proposal))
