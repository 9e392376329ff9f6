"""Proposals on the store: made and ended by an operator's word, and what their stages hinge on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from math import exp
from typing import Any

from controlplane import push, registry, states
from controlplane.audit.promise import STRUCTURAL
from controlplane.connection import Connection
from controlplane.explain import shelf
from controlplane.observations import Observation, Place
from controlplane.promote import Known, Proposal, Served, Stage, Terms, decided, margin
from controlplane.registry import ConflictError
from controlplane.rollout import Rollout
from controlplane.sql import SQL
from controlplane.stats.contest import Claim
from controlplane.stats.moments import Moments
from dataplane.contract.errors import OperatorError
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import QualityTarget

ROLLOUT = "rollout"
USUAL = Terms()
ATTEMPTS = 5
AT_RANDOM = "a policy whose arms are drawn at random cannot be compared: propose it without arms"
ON_TRIAL = "the judge is on trial in segment {segment}: its gate opens that, and no proposal"


class RefusedError(OperatorError):
    """What cannot be proposed, or moved so."""


def load(connection: Connection) -> Rollout:
    """The rollout, which stays locked until the transaction ends."""
    documents = shelf(connection)
    body = states.held(connection, ROLLOUT, Rollout(documents).to_json())
    return Rollout.from_json(body, documents)


def read(connection: Connection) -> Proposal | None:
    """The proposal that is on its way, or the last one; nothing is locked."""
    body = states.load(connection, ROLLOUT)
    return None if body is None else Rollout.from_json(body, shelf(connection)).proposal


def save(connection: Connection, rollout: Rollout) -> None:
    """Keep it, where it moved."""
    if states.load(connection, ROLLOUT) != (body := rollout.to_json()):
        states.save(connection, ROLLOUT, body)


def propose(
    connection: Connection, document: PolicyDocument, place: Place, who: str, now: datetime
) -> Proposal:
    """Store a document as a proposal to take the live policy's place, and let its life begin.

    ``place``: how far draws were heard of by now; its pairs come after. Raises ``ConflictError``
    where another one is on its way or the live policy is no retune of the parent, ``RefusedError``
    where it serves another objective, draws its arms, trusts a judge that is on trial, or the live
    policy's quality is not known yet.
    """
    live, rollout = registry.live(connection), load(connection)
    if rollout.open:
        assert rollout.proposal is not None
        raise ConflictError(
            f"version {rollout.proposal.version} is on its way ({rollout.proposal.stage}): "
            "wait for its end, or refuse it"
        )
    structural = registry.structural(connection, live.version)
    if document.parent is None or registry.structural(connection, document.parent) != structural:
        raise ConflictError(
            f"the proposal's parent is version {document.parent}, of which {live.version}, the "
            "live one, is no retune: read the live policy and propose again"
        )
    if document.objective != live.objective:
        raise RefusedError("a proposal serves the live objective: change that by itself first")
    for segment in document.segments:
        if segment.arms:
            raise RefusedError(AT_RANDOM)
        if segment.trust == "open" and live.segment(segment.name).trust == "closed":
            raise RefusedError(ON_TRIAL.format(segment=segment.name))
    claim = Claim(_margin(connection, live))
    stored = _stored(connection, document, live.version, now)
    why = f"proposed by {who}: {stored.reason}"
    rollout.proposal = Proposal(stored.version, live.version, structural, claim, now, why=why)
    rollout.place = place
    save(connection, rollout)
    return rollout.proposal


def _stored(
    connection: Connection, document: PolicyDocument, parent: int, now: datetime
) -> PolicyDocument:
    """Under the next free number, which the learner may take meanwhile."""
    said = {"parent": parent, "kind": "proposal", "author": "operator", "issued_at": now}
    for left in reversed(range(ATTEMPTS)):
        number = {"version": registry.next_version(connection)}
        stored = document.model_copy(update=said | number).rederived()
        try:
            registry.store(connection, stored)
        except ConflictError:
            if not left:
                raise
        else:
            break
    return stored


def _margin(connection: Connection, live: PolicyDocument) -> float:
    """What a proposal may lose; of an objective that states no quality, nothing."""
    aim = live.objective
    if not isinstance(aim, QualityTarget) or aim.reference != "ground_truth":
        return 0.0
    known = _quality(connection)
    if known is None or known["lo"] is None:
        raise RefusedError(
            "the live policy's quality has no interval yet, so no margin can be settled: "
            "wait for labels (`penstock label status`)"
        )
    return margin(known["lo"], aim.target_quality, aim.tolerance)


def _quality(connection: Connection) -> Mapping[str, Any] | None:
    """The estimate of what the live policy serves, and what it was before its retunes."""
    rows = connection.execute(SQL["latest_estimates"]).fetchall()
    return next((row for row in rows if row["window"] == STRUCTURAL), None)


def ask(
    connection: Connection,
    rollout: Rollout,
    live: PolicyDocument,
    recent: Sequence[Observation],
    terms: Terms = USUAL,
) -> None:
    """Begin the shadow: the share on which the two may part, and what is asked of the proposal."""
    rollout.recall(recent)
    known = _quality(connection)
    if known is not None and known["quality"] is not None:
        rollout.ask(live, known["quality"], recent, terms)


def say(
    connection: Connection, version: int, stage: Stage, who: str, reason: str, now: datetime
) -> Proposal:
    """Move a proposal by somebody's word; raises ``OperatorError`` where it cannot be moved so."""
    rollout = load(connection)
    proposal = rollout.proposal
    if proposal is None or proposal.version != version:
        on_its_way = f"version {proposal.version} was the last" if proposal else "there was none"
        raise RefusedError(f"version {version} is not the proposal on its way: {on_its_way}")
    try:
        moved = decided(proposal, stage, who, reason, now)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    against = registry.live(connection).version if stage == "live" else proposal.against
    rollout.proposal = replace(moved, against=against)
    save(connection, rollout)
    return rollout.proposal


def known(connection: Connection, proposal: Proposal, live: int) -> Known:
    """What the proposal's next step hinges on, beside the evidence."""
    newest = registry.latest(connection)
    named = newest is not None and any(part.version == proposal.version for part in newest.parts)
    answers = _answers(connection, newest.seq, proposal.version) if newest and named else {}
    before = push.acks(connection, newest.seq - 1) if newest else []
    canary, beside = _served(connection, proposal)
    return Known(
        structural=registry.structural(connection, live),
        answers=answers,
        planes=frozenset(each.plane for each in before),
        canary=canary,
        beside=beside,
    )


def _answers(connection: Connection, seq: int, version: int) -> dict[str, str | None]:
    answers = (each for each in push.acks(connection, seq) if each.version in (version, 0))
    return {
        each.plane: None if each.status == "ack" else (each.reason or "refused") for each in answers
    }


def _served(connection: Connection, proposal: Proposal) -> tuple[Served, Served]:
    if proposal.stage != "canary":
        return Served(), Served()
    asked = {"version": proposal.version, "since": proposal.since}
    rows = {row["canary"]: row for row in connection.execute(SQL["served_since"], asked)}
    return _of(rows.get(True)), _of(rows.get(False))


def _of(row: Mapping[str, Any] | None) -> Served:
    if row is None:
        return Served()
    failed = row["failed"] / row["queries"]
    return Served(
        _moments(row["queries"], failed, failed * (1 - failed)),
        _moments(row["answered"], row["log_ms"], row["log_ms_variance"]),
        _moments(row["answered"], row["usd"], row["usd_variance"]),
    )


def _moments(count: int, mean: float | None, variance: float | None) -> Moments:
    return Moments(count, mean or 0.0, (variance or 0.0) * max(count - 1, 0))


def put_in_force(
    connection: Connection, terms: Terms = USUAL, check: Callable[[], None] = lambda: None
) -> int | None:
    """Put in force what the stage wants, if it is not; the publication's number, None if it was.

    ``check`` is called just before, and may raise. Raises ``ConflictError`` where somebody
    published meanwhile.
    """
    rollout, newest = load(connection), registry.latest(connection)
    if newest is None:
        return None
    structural = registry.structural(connection, newest.leading)
    wanted = rollout.in_force(newest.leading, structural, terms)
    if newest.parts == wanted:
        return None
    check()
    proposal, reason = rollout.proposal, f"{terms.holdout:.0%} of conversations are held out"
    if rollout.watch is not None and rollout.watch.ended:
        reason = rollout.watch.why
    elif proposal is not None:
        reason = f"version {proposal.version} is {proposal.stage}: {proposal.why}"
    return push.put_in_force(connection, wanted, newest.seq, reason[:2000])


def told(connection: Connection, proposal: Proposal, terms: Terms = USUAL) -> dict[str, Any]:
    """Its summary, how its evidence came about, and as a canary how it fares beside the live one.

    ``latency_ms`` is a geometric mean.
    """
    looks = [asdict(each) | {"at": each.at.isoformat()} for each in proposal.looks]
    found = summary(proposal) | {"looks": looks, "canary": None}
    if proposal.stage == "canary":
        canary, beside = _served(connection, proposal)
        wanted = {"queries_wanted": terms.canary_queries, "slower": terms.slower}
        found["canary"] = {"canary": _health(canary), "live": _health(beside)} | wanted
    return found


def _health(served: Served) -> dict[str, Any]:
    failed, log_ms, usd = served.failed, served.log_ms, served.usd
    return {
        "queries": failed.count,
        "failed": failed.mean if failed.count else None,
        "failed_error": _error(failed),
        "latency_ms": exp(log_ms.mean) if log_ms.count else None,
        "log_latency_error": _error(log_ms),
        "usd": usd.mean if usd.count else None,
        "usd_error": _error(usd),
    }


def _error(moments: Moments) -> float | None:
    """Standard error of the mean, None where that is not known."""
    return moments.standard_error if moments.count > 1 else None


def summary(proposal: Proposal) -> dict[str, Any]:
    """What a person wants to know of a proposal."""
    contest = proposal.contest
    share = contest.share(proposal.claim)
    return {
        "version": proposal.version,
        "against": proposal.against,
        "stage": proposal.stage,
        "since": proposal.since.isoformat(),
        "reason": proposal.why,
        "margin": proposal.claim.margin,
        "promised": proposal.bar and proposal.bar.promised,
        "queries": contest.queries,
        "pairs": contest.pairs,
        "parts_on": {"share": share.estimate, "low": share.low, "high": share.high},
        "e_value_for": exp(min(contest.for_it.log_evidence, 50.0)),
        "e_value_against": exp(min(contest.against.log_evidence, 50.0)),
        "e_value_wanted": proposal.evidence,
        "saves_usd_per_query": proposal.saved.mean if proposal.saved.count else None,
    }
