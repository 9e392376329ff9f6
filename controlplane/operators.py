"""An operator's words on policies: propose, promote, refuse, roll back, pin. Each is an event.

The API and the command line say the same things by these.
"""

from dataclasses import replace
from datetime import datetime

from controlplane import proposals, push, registry, states
from controlplane.connection import Connection
from controlplane.cycle import FROZEN, load_trust
from controlplane.events import record_event
from controlplane.promote import Proposal, Stage, Terms
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Part
from dataplane.contract.publication import reason as cause
from dataplane.contract.terms import Mode


def propose(connection: Connection, document: PolicyDocument, who: str, now: datetime) -> Proposal:
    """See ``proposals.propose``."""
    place = load_trust(connection).place
    proposal = proposals.propose(connection, document, place, who, now)
    record_event(connection, "proposal", proposals.summary(proposal))
    return proposal


def in_mode(live: PolicyDocument, mode: Mode) -> PolicyDocument:
    """The live policy in another mode, to be proposed; raises ``RefusedError`` if it may not be."""
    said = {
        "version": live.version + 1,
        "parent": live.version,
        "reason": f"{mode} in place of {live.segments[0].mode}",
    }
    try:
        segments = tuple(each.replaced(mode=mode, arms=()) for each in live.segments)
        return live.model_copy(update=said | {"segments": segments}).rederived()
    except ValueError as error:
        raise proposals.RefusedError(f"{mode} may not be proposed: {cause(error)}") from None


def move(
    connection: Connection,
    version: int,
    stage: Stage,
    who: str,
    reason: str,
    now: datetime,
    terms: Terms = proposals.USUAL,
) -> Proposal:
    """Promote, refuse or roll back the proposal of this version, and put that in force at once.

    Raises ``OperatorError`` where it cannot be moved so, ``ConflictError``.
    """
    proposal = proposals.say(connection, version, stage, who, reason, now)
    proposals.put_in_force(connection, terms)
    record_event(connection, "proposal", proposals.summary(proposal))
    return proposal


def restore(
    connection: Connection, version: int, who: str, reason: str, now: datetime, *, pin: bool = False
) -> None:
    """Put a stored version in force, alone. The learner goes on from there, but where it is pinned.

    A proposal that is on its way is refused, one that is live is rolled back; retunes that were
    watched are so no longer, until the next one. Raises
    ``UnknownVersionError``, ``ConflictError``.
    """
    said = f"{who}: {reason}"
    rollout = proposals.load(connection)
    rollout.watch = None
    if rollout.open and rollout.proposal is not None and rollout.proposal.version != version:
        live = rollout.proposal.stage == "live"
        ended: Stage = "rolled_back" if live else "refused"
        rollout.proposal = replace(
            rollout.proposal, stage=ended, why=said, since=now, against=version
        )
        record_event(connection, "proposal", proposals.summary(rollout.proposal))
    proposals.save(connection, rollout)
    newest = registry.latest(connection)
    parent = newest.seq if newest else None
    push.put_in_force(connection, [Part(version=version)], parent, said[:2000])
    if pin:
        states.save_value(connection, FROZEN, True)
    kind = "pin" if pin else "rollback"
    record_event(connection, kind, {"version": version, "reason": said})


def freeze(connection: Connection, who: str, *, frozen: bool, reason: str | None = None) -> None:
    """Stop the learner from moving the policy, or let it; it goes on learning either way."""
    states.save_value(connection, FROZEN, frozen)
    said = {} if reason is None else {"reason": reason}
    record_event(connection, "freeze", {"frozen": frozen, "by": who} | said)
