"""Rollout: the proposal that is on its way, followed from turn to turn of the cycle.

It counts the queries on which the proposal and the live policy may part, which needs no label; it
is told the pairs, which were drawn for the rival's sake and labelled; and it says which versions
are to be in force. The rival decides nothing: the proposal until it is live, and from then on the
policy before it. Where no proposal is live it is told what audits say of the live policy's retunes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Self, TypeAlias

import numpy as np

from controlplane.learn.imagine import Outlook, imagine
from controlplane.learn.policy_family import Arm, Arms
from controlplane.observations import Labelled, Observation, Place
from controlplane.promote import STEPS, Known, Proposal, Terms, advance, looked
from controlplane.retunes import Watch, audited, promise, watched
from controlplane.stats import standing
from controlplane.stats.contest import compared, seen
from controlplane.stats.standing import Drawing, bar, sooner
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Part
from dataplane.contract.rule import Array
from dataplane.strategies import Queries, may_serve

Documents: TypeAlias = Callable[[int], PolicyDocument | None]

GATHERS = ("shadow", "live")  # stages that count queries and hear pairs
MOST = 2_000  # queries that are looked at in a turn: a share of many is known well enough


class Rollout:
    """At most one proposal, and how far in the order of the draws it was told of pairs.

    ``held_out``: the version that a share of conversations keeps, which is not what it is compared
    with; whoever leads it from turn to turn says so. ``watch`` is on the live policy's retunes.
    """

    def __init__(self, documents: Documents, proposal: Proposal | None = None) -> None:
        self.documents = documents
        self.proposal = proposal
        self.place: Place = ()
        self.held_out: int | None = None
        self.watch: Watch | None = None

    @property
    def open(self) -> bool:
        """Whether it may still move by itself."""
        return self.proposal is not None and self.proposal.stage in STEPS

    @property
    def rival(self) -> int | None:
        """The version that is compared with the live one."""
        if self.proposal is None or not self.open:
            return None
        live = self.proposal.stage == "live"
        return self.proposal.against if live else self.proposal.version

    def recall(self, observations: Sequence[Observation]) -> None:
        """Queries from before the shadow: the share on which the two part is known at its start."""
        self._count(observations)
        if self.proposal is not None:
            self.proposal = replace(self.proposal, began=self.proposal.contest.queries)

    def ask(
        self, live: PolicyDocument, quality: float, recent: Sequence[Observation], terms: Terms
    ) -> None:
        """Settle, before the first label, whether the proposal need only keep what is promised.

        ``quality`` is the live policy's. Where a promise is stated, and the live policy's answers
        are audited, for labels are wanted of queries on which the two serve the same, too.
        """
        rival, rate, promised = self._rival(), audited(live), promise(live.objective)
        if self.proposal is None or rival is None or promised is None or not (rate and recent):
            return
        contest = self.proposal.contest
        share = contest.parted / max(contest.queries, 1)
        drawing = Drawing(share, max(terms.draw, rate), rate)
        found, change = bar(*promised, drawing), float(_better(rival, live, recent).mean())
        if sooner(self.proposal.claim, found, drawing, quality, change):
            self.proposal = replace(self.proposal, bar=found)

    def watch_over(self, live: PolicyDocument, kept: int, now: datetime, *, alarmed: bool) -> bool:
        """Follow the live policy's retunes, ``kept`` being what they began from; whether that began
        just now. A proposal that is live is watched as such.
        """
        before, proposed = self.watch, self.proposal is not None and self.proposal.stage == "live"
        after = None if proposed else watched(before, live, kept, now, alarmed=alarmed)
        self.watch = after
        return before is None and after is not None

    def give_back(self) -> bool:
        """Whether the retunes have just lost, so that what they began from is to lead again."""
        if self.watch is None or self.watch.ended or not self.watch.lost:
            return False
        self.watch = replace(self.watch, ended=True)
        return True

    def observe(self, observations: Sequence[Observation]) -> None:
        """Completed queries, each once, that the live policy decided."""
        if self.proposal is not None:
            since = self.proposal.since
            self._count([each for each in observations if each.at >= since])

    def _count(self, observations: Sequence[Observation]) -> None:
        rival = self._rival()
        if self.proposal is None or rival is None or self.proposal.stage not in GATHERS:
            return
        told = [each for each in observations if self._tells(each)][:MOST]
        contest = self.proposal.contest
        parted = sum(_may_part(rival, each) for each in told)
        contest = seen(contest, queries=len(told), parted=parted)
        self.proposal = replace(self.proposal, contest=contest)
        if self.proposal.stage == "shadow":
            self._charge(rival, told)

    def _tells(self, each: Observation) -> bool:
        """Whether a policy that leads decided it, and all tiers could have answered."""
        return (
            each.policy_version not in (self.rival, self.held_out)
            and not each.excluded
            and self.documents(each.policy_version) is not None
        )

    def _charge(self, rival: PolicyDocument, told: Sequence[Observation]) -> None:
        """What each query was expected to cost by the policy that decided it, less by the rival."""
        assert self.proposal is not None
        saved = self.proposal.saved
        for version in sorted({each.policy_version for each in told}):
            part = [each for each in told if each.policy_version == version]
            live = self.documents(version)
            assert live is not None
            for more in (_usd(live, part) - _usd(rival, part)).tolist():
                saved = saved.told(more)
        self.proposal = replace(self.proposal, saved=saved)

    def look(self, now: datetime) -> None:
        """Keep how the evidence stands."""
        if self.proposal is not None:
            self.proposal = looked(self.proposal, now)

    def hear(self, resolved: Sequence[Labelled], reached: Place) -> None:
        """Resolved audit draws, each once, in the order of the draws."""
        self.place = reached
        told = [each for each in resolved if self._is_heard(each)]
        for each in told:
            if self.watch is not None:
                self.watch = self.watch.heard(each)
        rival = self._rival()
        if self.proposal is None or rival is None or self.proposal.stage not in GATHERS:
            return
        for each in told:
            if each.observation.at >= self.proposal.since:
                self.proposal = self._told(self.proposal, rival, each)

    def _told(self, proposal: Proposal, rival: PolicyDocument, each: Labelled) -> Proposal:
        """The proposal after what one draw tells of it: a pair, or where there is a bar, a label of
        the answer that it served, or would have served.
        """
        live = proposal.stage == "live"
        if proposal.bar is not None:
            tier = each.observation.served if live else _would_serve(rival, each)
            value = None if tier is None else each.right.get(tier)
            if tier is None or value is None:
                return proposal
            probability = each.probability(tier)
            contest = standing.told(proposal.contest, value, probability, proposal.bar)
            return replace(proposal, contest=contest)
        better = difference(rival, each) if each.rival == self.rival else None
        if better is None:
            return proposal
        contest = compared(proposal.contest, -better if live else better, proposal.claim)
        return replace(proposal, contest=contest)

    def _is_heard(self, each: Labelled) -> bool:
        """Of the policy that leads, and not held out: those labels move no policy."""
        document = self.documents(each.observation.policy_version)
        if document is None or not self._tells(each.observation):
            return False
        return not each.held_out(document.audit.held_out)

    def step(self, known: Known, live: int, terms: Terms, now: datetime) -> bool:
        """Whether the proposal is in another stage now; ``live`` is what would come back."""
        if self.proposal is None:
            return False
        after = advance(self.proposal, known, terms, now)
        moved = after is not self.proposal
        self.proposal = after
        if moved and after.stage == "live":
            self.proposal = replace(after, against=live)
        return moved

    def in_force(self, live: int, structural: int, terms: Terms) -> tuple[Part, ...]:
        """What is to be in force where ``live`` leads, which is a retune of ``structural``."""
        live, held = self._leading(live, structural)
        rival, canary = self.rival, self.proposal is not None and self.proposal.stage == "canary"
        shares = {rival: terms.canary_share if canary else 0.0} if rival is not None else {}
        if terms.holdout and held != live:
            shares[held] = shares.get(held, 0.0) + terms.holdout
        beside = [
            Part(version=version, share=share, draw=terms.draw if version == rival else 0.0)
            for version, share in shares.items()
        ]
        return Part(version=live, share=1 - sum(shares.values())), *beside

    def _leading(self, live: int, structural: int) -> tuple[int, int]:
        """The version that is to lead, and the one that is held out: the last structural one."""
        proposal = self.proposal
        if self.watch is not None and self.watch.ended and self.watch.kept == structural:
            live = structural
        if proposal is None:
            return live, structural
        took_over = structural == proposal.version
        if proposal.stage == "rolled_back" and took_over:
            return proposal.against, proposal.structural
        if proposal.stage == "live":
            return (live if took_over else proposal.version), proposal.structural
        return live, structural

    def _rival(self) -> PolicyDocument | None:
        return None if self.rival is None else self.documents(self.rival)

    def to_json(self) -> str:
        """The whole state."""
        state = {
            "proposal": self.proposal and self.proposal.state(),
            "place": list(self.place),
            "watch": self.watch and self.watch.state(),
        }
        return json.dumps(state)

    @classmethod
    def from_json(cls, text: str, documents: Documents) -> Self:
        """Inverse of ``to_json``."""
        state = json.loads(text)
        made = cls(documents, state["proposal"] and Proposal.restored(state["proposal"]))
        made.place = tuple(state["place"])
        watch = state.get("watch")  # unsaid by states from before retunes were watched
        made.watch = watch and Watch.restored(watch)
        return made


def difference(rival: PolicyDocument, labelled: Labelled) -> float | None:
    """The label of the answer that the rival would have served, less that of the one served.

    None where that is not known: a label is missing, or the score that the rival's choice hinges
    on. Both answers' labels are wanted even where both serve the same one: or those that part would
    be missing more often than those that do not.
    """
    seen_, other = labelled.observation, _would_serve(rival, labelled)
    wanted = {tier.name for tier in rival.tiers if tier.name in (*seen_.answered, other)}
    if other is None or not labelled.right.keys() >= wanted:
        return None
    return labelled.right[other] - labelled.right[seen_.served]


def _would_serve(rival: PolicyDocument, labelled: Labelled) -> str | None:
    """The tier whose answer the rival would have served; None where a score would have to tell."""
    seen_ = labelled.observation
    served = may_serve(rival, seen_.segment, seen_.features, seen_.score)
    return next(iter(served)) if len(served) == 1 else None


def _may_part(rival: PolicyDocument, each: Observation) -> bool:
    return may_serve(rival, each.segment, each.features, each.score) != {each.served}


def _better(rival: PolicyDocument, live: PolicyDocument, part: Sequence[Observation]) -> Array:
    """By how much more each answer (N,) would be worth, by the rival's beliefs, at any score."""
    unscored = np.full(len(part), np.nan)
    queries = Queries.of(rival, [each.features for each in part], unscored)
    arms = Arms((Arm.of(rival.segments[0]), Arm.of(live.segments[0])))
    quality = imagine(Outlook.of(rival, queries), arms.columns).quality
    return np.asarray(quality[:, 0] - quality[:, 1])


def _usd(document: PolicyDocument, observations: Sequence[Observation]) -> Array:
    """What a document expects each query (N,) to be billed, at its score where that is known."""
    scores = [np.nan if each.score is None else each.score for each in observations]
    queries = Queries.of(document, [each.features for each in observations], np.array(scores))
    arm = Arms((Arm.of(document.segments[0]),))
    return imagine(Outlook.of(document, queries), arm.columns).usd[:, 0]
