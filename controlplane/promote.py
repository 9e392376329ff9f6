"""THE LIFE OF A PROPOSAL: candidate > shadow > canary > live > settled.

Refused on the way, rolled back once live, or retired by whoever publishes another policy. Pure:
what is known of a proposal and the time go in, its next stage and why come out.

- *candidate*: the data planes validate it; where one refuses it, it is refused.
- *shadow*: it decides nothing. Of the queries that it might serve otherwise than the live policy a
  share is drawn, and pairs of labels show whether it is as good but for a margin that was settled
  before the first of them (``stats.contest``). Or, where that is expected to take fewer labels, as
  of a policy that is cheaper because it is less good: whether it keeps what is promised by itself
  (``stats.standing``). What it would have spent needs no label.
- *canary*: a small share of conversations, for what no label tells: errors, waiting, cost.
- *live*: in the place of the policy before, which stays beside it to be compared, and comes back by
  itself where labels show that what it was promoted for does not hold after all.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from math import exp, log
from typing import Any, Literal, TypeAlias

from controlplane.stats import contest as paired
from controlplane.stats import standing
from controlplane.stats.contest import Claim, Contest, Verdict
from controlplane.stats.moments import Moments, beyond
from controlplane.stats.standing import Bar

Stage: TypeAlias = Literal[
    "candidate", "shadow", "canary", "live", "settled", "refused", "rolled_back", "retired"
]
AS_GOOD = "as good but for its margin", "it keeps what is promised"
CLEARLY = 3.0  # standard errors: these figures are looked at again and again
LOOKS = 240  # that are kept: beyond that every second one goes


@dataclass(frozen=True, slots=True)
class Terms:
    """How long each stage may take, and what it asks for.

    ``draw`` is the share that is drawn of queries which a proposal might serve otherwise.
    """

    draw: float = 0.3
    answer_within: timedelta = timedelta(minutes=10)
    shadow_within: timedelta = timedelta(days=14)
    canary_share: float = 0.05
    canary_queries: int = 300
    canary_within: timedelta = timedelta(days=7)
    slower: float = 1.2  # times the live policy's usual latency
    watched: int = 2000  # queries once live, until it is settled
    holdout: float = 0.0  # share of conversations that keeps the last structural policy


@dataclass(frozen=True, slots=True)
class Served:
    """The queries that a policy decided: which failed (1 or 0), the log of the milliseconds and the
    USD of those that were answered.
    """

    failed: Moments = field(default_factory=Moments)
    log_ms: Moments = field(default_factory=Moments)
    usd: Moments = field(default_factory=Moments)


@dataclass(frozen=True, slots=True)
class Look:
    """The evidence of a stage as it once stood: how many pairs, and the log of both e-values."""

    at: datetime
    stage: Stage
    pairs: int
    log_for: float
    log_against: float

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "Look":
        """From JSON values."""
        return cls(**{**state, "at": datetime.fromisoformat(state["at"])})


@dataclass(frozen=True, slots=True)
class Proposal:
    """Version ``version`` on its way to be live in the place of ``against``.

    ``structural`` is the version since which ``against`` was only retuned. ``contest`` has this
    stage's pairs, and queries of which ``began`` came before it; or, where there is a ``bar``,
    which is asked in the claim's place, labels of the proposal's own answers. ``saved``: USD a
    query that the live policy spends more than it would. ``looks``: how the evidence came about,
    the last one as it stands.
    """

    version: int
    against: int
    structural: int
    claim: Claim
    since: datetime
    stage: Stage = "candidate"
    why: str = "proposed"
    contest: Contest = field(default_factory=Contest)
    began: int = 0
    saved: Moments = field(default_factory=Moments)
    bar: Bar | None = None
    looks: tuple[Look, ...] = ()

    @property
    def evidence(self) -> float:
        """What an e-process has to reach."""
        return self.claim.evidence if self.bar is None else self.bar.evidence

    @property
    def said(self) -> Verdict | None:
        """What was shown of what is asked, if anything."""
        if self.bar is None:
            return paired.verdict(self.contest, self.claim)
        return standing.verdict(self.contest, self.bar)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        looks = [asdict(each) | {"at": each.at.isoformat()} for each in self.looks]
        said = {"since": self.since.isoformat(), "contest": self.contest.state(), "looks": looks}
        return asdict(self) | said

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "Proposal":
        """Inverse of ``state``."""
        parts = {
            "claim": Claim(**state["claim"]),
            "since": datetime.fromisoformat(state["since"]),
            "contest": Contest.restored(state["contest"]),
            "saved": Moments(**state["saved"]),
            "bar": Bar(**state["bar"]) if state.get("bar") else None,
            "looks": tuple(Look.restored(each) for each in state.get("looks", [])),
        }
        return cls(**{**state, **parts})


@dataclass(frozen=True, slots=True)
class Known:
    """What a stage hinges on beside the evidence.

    ``answers``: of each data plane to the newest publication that names the proposal, None for an
    ACK, else why it was refused; ``planes`` are those that answered the one before. ``misses``:
    whether the live policy misses its target. ``canary``, ``beside``: what the proposal and the
    live policy served since the stage began. ``structural``: the live policy's.
    """

    structural: int
    answers: Mapping[str, str | None] = field(default_factory=dict)
    planes: frozenset[str] = frozenset()
    misses: bool = False
    canary: Served = field(default_factory=Served)
    beside: Served = field(default_factory=Served)


def looked(proposal: Proposal, now: datetime) -> Proposal:
    """The same with its evidence of now among its looks, where pairs came since the last one."""
    contest, looks = proposal.contest, proposal.looks
    last = looks[-1] if looks and looks[-1].stage == proposal.stage else None
    if contest.pairs == (last.pairs if last else 0):
        return proposal
    evidence = contest.for_it.log_evidence, contest.against.log_evidence
    looks = (*looks, Look(now, proposal.stage, contest.pairs, *evidence))
    return replace(proposal, looks=looks[::2] if len(looks) > LOOKS else looks)


def margin(live_low: float, target: float, tolerance: float) -> float:
    """What a proposal may lose, by the lower bound of the live policy's quality: what is left above
    the promise. Never by what the live policy was allowed to lose before, or quality would creep
    down from one to the next. Below 0 it has to be better by as much.

    >>> round(margin(0.912, 0.92, 0.02), 3)
    0.012
    """
    return live_low - (target - tolerance)


def advance(proposal: Proposal, known: Known, terms: Terms, now: datetime) -> Proposal:
    """The proposal in the stage that it is in now, itself where nothing moved."""
    if proposal.stage not in STEPS:
        return proposal
    expected = {proposal.structural}  # until the publication that puts it in force, live or not
    if proposal.stage == "live":
        expected.add(proposal.version)
    if known.structural not in expected:
        ended: Stage = "retired" if proposal.stage == "live" else "refused"
        return _moved(proposal, ended, f"version {known.structural} was published meanwhile", now)
    refusals = [f"{plane} refuses it: {why}" for plane, why in known.answers.items() if why]
    if refusals and proposal.stage != "live":
        return _moved(proposal, "refused", refusals[0], now)
    return STEPS[proposal.stage](proposal, known, terms, now)


def _validated(proposal: Proposal, known: Known, terms: Terms, now: datetime) -> Proposal:
    """Those that are silent are waited for; one that never comes must not hold it up for ever."""
    silent, late = known.planes - known.answers.keys(), now - proposal.since >= terms.answer_within
    if known.answers and (late or not silent):
        without = f", without a word of {', '.join(sorted(silent))}" if silent else ""
        why = f"validated by {len(known.answers)} data planes{without}"
        return _moved(proposal, "shadow", why, now)
    if not late:
        return proposal
    why = f"no data plane answered within {terms.answer_within}"
    return _moved(proposal, "refused", why, now)


def _compared(proposal: Proposal, known: Known, terms: Terms, now: datetime) -> Proposal:
    said, told, good = proposal.said, _evidence(proposal), AS_GOOD[proposal.bar is not None]
    saved = proposal.saved
    cheaper = saved.mean > CLEARLY * saved.standard_error
    dearer = -saved.mean > CLEARLY * saved.standard_error
    spends = f"{abs(saved.mean) * 1e6:.1f} USD per million queries {'less' if cheaper else 'more'}"
    if said == "fails":
        return _moved(proposal, "refused", f"{_short(proposal)}: {told}", now)
    if said == "holds" and (cheaper or known.misses):
        why = spends if cheaper else "the live policy misses its target"
        return _moved(proposal, "canary", f"{good}: {told}; {why}", now)
    if said == "holds" and dearer:
        return _moved(proposal, "refused", f"{good}, at {spends}", now)
    if now - proposal.since >= terms.shadow_within:
        return _moved(proposal, "refused", f"undecided in {terms.shadow_within}: {told}", now)
    return proposal


def _tried(proposal: Proposal, known: Known, terms: Terms, now: datetime) -> Proposal:
    canary, live = known.canary, known.beside
    allowed = replace(live.log_ms, mean=live.log_ms.mean + log(terms.slower))
    slower = exp(min(canary.log_ms.mean - live.log_ms.mean, 50.0))
    for clearly, what in (
        (beyond(canary.failed, live.failed), f"{canary.failed.mean:.1%} of its queries fail"),
        (beyond(canary.log_ms, allowed), f"it takes {slower:.2f} times as long"),
        (beyond(canary.usd, live.usd), f"it spends {canary.usd.mean:.3g} USD a query"),
    ):
        if clearly > CLEARLY:
            beside = f"as a canary beside {live.failed.count} queries of the live policy"
            return _moved(proposal, "refused", f"{what} {beside}", now)
    if canary.failed.count >= terms.canary_queries:
        why = f"{canary.failed.count} canary queries: no more errors, no slower, no dearer"
        return _moved(proposal, "live", why, now)
    if now - proposal.since >= terms.canary_within:
        few = f"{canary.failed.count} canary queries in {terms.canary_within}"
        return _moved(proposal, "refused", f"{few}, {terms.canary_queries} wanted", now)
    return proposal


def _watched(proposal: Proposal, _: Known, terms: Terms, now: datetime) -> Proposal:
    if proposal.said == "fails":
        why = _short(proposal, f"than version {proposal.against} ")
        return _moved(proposal, "rolled_back", f"{why}: {_evidence(proposal)}", now)
    watched = proposal.contest.queries - proposal.began
    if watched >= terms.watched:
        why = f"nothing against it in {watched} queries"
        return _moved(proposal, "settled", f"{why}: {_evidence(proposal)}", now)
    return proposal


def decided(proposal: Proposal, stage: Stage, who: str, reason: str, now: datetime) -> Proposal:
    """The same by somebody's word. Raises ``ValueError`` where it is too late for that."""
    allowed: dict[Stage, tuple[Stage, ...]] = {
        "live": ("candidate", "shadow", "canary"),
        "refused": ("candidate", "shadow", "canary"),
        "rolled_back": ("live", "settled"),
        "retired": ("live", "settled"),
    }
    if proposal.stage not in allowed.get(stage, ()):
        raise ValueError(f"version {proposal.version} is {proposal.stage}: it cannot be {stage}")
    return _moved(proposal, stage, f"{who}: {reason}", now)


def _moved(proposal: Proposal, stage: Stage, why: str, now: datetime) -> Proposal:
    """Each stage gathers pairs of its own; on how many queries the two part stays known."""
    before = proposal.contest
    contest = Contest(queries=before.queries, parted=before.parted)
    return replace(proposal, stage=stage, why=why, since=now, contest=contest, began=before.queries)


def _short(proposal: Proposal, than: str = "") -> str:
    if proposal.bar is not None:
        return "it does not keep what is promised"
    return f"it is worse {than}by more than its margin"


def _evidence(proposal: Proposal) -> str:
    contest, bar = proposal.contest, proposal.bar
    share = contest.share(proposal.claim)
    evidence = max(contest.for_it.log_evidence, contest.against.log_evidence)
    asked = f"margin {proposal.claim.margin:.3g}" if bar is None else f"promised {bar.promised:.3g}"
    labelled = "pairs" if bar is None else "of its answers labelled"
    return (
        f"{contest.pairs} {labelled} among {contest.queries} queries, {share.estimate:.1%} of "
        f"which it may serve otherwise (e-value {exp(min(evidence, 50.0)):.3g}, "
        f"{proposal.evidence:.3g} wanted; {asked})"
    )


Step: TypeAlias = Callable[[Proposal, Known, Terms, datetime], Proposal]
STEPS: Mapping[Stage, Step] = {
    "candidate": _validated,
    "shadow": _compared,
    "canary": _tried,
    "live": _watched,
}
