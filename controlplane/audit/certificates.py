"""Certified cutoffs: below which raw score nothing may be accepted, and when that is void.

A certificate stands on a *ground*: one judge, one model at either end of the chain, and 50 bins of
raw scores whose edges were frozen before the first query that certifies. Such a query is drawn with
a probability that is the same for all, and both its local answer and the dearest tier's are
labelled. A query whose labels are not all there counts as lost where they could hide a loss.

Each attempt to certify, of whatever ground, has its share of one delta: with the confidence asked
for, no certificate of a segment that was ever issued is wrong on its ground.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal, Self
from uuid import UUID

import numpy as np
from pydantic import BaseModel, ConfigDict

from controlplane.observations import Labelled, Observation
from controlplane.stats import certify, share_of_delta
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import CertifiedCutoff, SegmentPolicy, WrongAcceptances

BINS = 50
SCORES = 100  # before the bins are frozen
LABELS = 300  # of uniformly drawn pairs, before the first attempt; then whenever they have doubled
RIGHT = 0.5  # an answer whose label is at least that is right
RATES_KEPT = 1_000
FIRST = UUID(int=0)

End = Literal["local", "cloud"]
ENDS: tuple[End, ...] = ("local", "cloud")

Event = tuple[str, dict[str, object]]


class Ground(BaseModel):
    """What a segment's certificate stands on; only queries after ``since`` count.

    ``models`` has the local tier's and the dearest's by ``ENDS``, once known. ``pairs`` and
    ``lost`` are counts by bin; ``tried`` is how many pairs the last attempt had.
    """

    model_config = ConfigDict(extra="forbid")

    judge: str
    models: dict[End, str] = {}
    since: UUID = FIRST
    scores: list[float] = []
    edges: list[float] | None = None
    pairs: list[int] = []
    lost: list[int] = []
    tried: int = 0
    attempts: int = 0  # on this ground and all before it
    certificate: CertifiedCutoff | None = None

    @property
    def labels(self) -> int:
        """How many pairs are labelled."""
        return sum(self.pairs)

    @property
    def due(self) -> bool:
        """Whether there are pairs enough for another attempt."""
        return self.labels >= max(LABELS, 2 * self.tried)

    def saw(self, score: float) -> None:
        """A score that may tell where the bins are to be."""
        if self.edges is None:
            self.scores.append(score)

    def freeze(self, after: UUID) -> None:
        """Set the bins, once there are scores enough; only later queries count."""
        if self.edges is not None or len(self.scores) < SCORES:
            return
        cuts = np.quantile(self.scores, np.arange(1, BINS) / BINS, method="higher")
        self.edges, self.scores = np.unique(cuts).tolist(), []
        self.restart(after)

    def restart(self, after: UUID) -> None:
        """Forget every label, keep the bins: what certifies is drawn from now on."""
        bins = len(self.edges or ()) + 1
        self.since, self.pairs, self.lost = after, [0] * bins, [0] * bins
        self.tried, self.certificate = 0, None

    def add(self, score: float | None, lost: bool) -> None:
        """One more pair; without a score it is never accepted."""
        at = 0 if score is None else int(np.searchsorted(self.edges or (), score, side="right"))
        self.pairs[at] += 1
        self.lost[at] += lost and score is not None

    def attempt(self, asked: WrongAcceptances, lowest: float) -> None:
        """The loosest cutoff that these pairs allow, in place of the one before."""
        assert self.edges is not None
        self.attempts, self.tried = self.attempts + 1, self.labels
        delta = share_of_delta(1 - asked.confidence, self.attempts)
        bins = len(self.pairs)
        kept = [count - lost for count, lost in zip(self.pairs, self.lost, strict=True)]
        where = np.repeat(np.tile(np.arange(bins), 2), [*kept, *self.lost])
        found = certify(where, np.arange(self.labels) >= sum(kept), bins, asked.limit, delta)
        self.certificate = None
        if found.least_bin < bins:
            self.certificate = CertifiedCutoff(
                score=self.edges[found.least_bin - 1] if found.least_bin else lowest,
                least_bin=found.least_bin,
                bins=bins,
                limit=asked.limit,
                confidence=asked.confidence,
                risk=found.risk,
                delta=delta,
                attempt=self.attempts,
                labels=found.labels,
                losses=found.losses,
                accepted=found.accepted,
                judge=self.judge,
                edges=digest(self.edges),
                local_model=self.models.get("local", ""),
                cloud_model=self.models.get("cloud", ""),
            )


@dataclass(frozen=True, slots=True)
class Review:
    """The live policy or, where a certificate came or went, its successor; and what to tell.

    ``voids``: whether one went and none came in its place.
    """

    policy: PolicyDocument
    events: tuple[Event, ...] = ()
    voids: bool = False

    def under(self, proposal: PolicyDocument | None) -> PolicyDocument:
        """What the learner makes of this policy, as one publication of both."""
        if proposal is None:
            return self.policy
        reason = f"{self.policy.reason}; {proposal.reason}"[:2000]
        return proposal.replaced(
            version=self.policy.version, parent=self.policy.parent, kind="proposal", reason=reason
        )


@dataclass
class Certifier:
    """Follows the labels of each segment of the live policy; its state is plain JSON."""

    grounds: dict[str, Ground] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)  # by version, of uniform pairs
    newest: UUID = FIRST

    def review(
        self,
        live: PolicyDocument,
        observations: Sequence[Observation],
        labelled: Sequence[Labelled],
        alarms: Sequence[str],
        now: datetime,
    ) -> Review:
        """Take in what is new, and see which certificates hold; call it with each live policy."""
        self._rate(live)
        void = [*self._observe(live, observations), *self._alarm(alarms)]
        for each in labelled:
            void += self._met(live, each.observation)
            self._learn(live, each)
        for ground in self.grounds.values():
            ground.freeze(self.newest)
        if live.objective.wrong_acceptances is None:
            return Review(live)
        issued = list(self._attempts(live, live.objective.wrong_acceptances))
        return self._published(live, [*void, *issued], now)

    def _rate(self, live: PolicyDocument) -> None:
        self.rates[live.version] = uniform_rate(live)
        while len(self.rates) > RATES_KEPT:
            del self.rates[min(self.rates)]

    def _observe(
        self, live: PolicyDocument, observations: Iterable[Observation]
    ) -> Iterable[Event]:
        for segment in live.segments:
            ground = self.grounds.get(segment.name)
            if ground is None or ground.judge != live.judge.judge:
                yield from self._anew(segment.name, live.judge.judge, {}, "the judge changed")
        for seen in observations:
            self.newest = max(self.newest, seen.decision_id)
            yield from self._met(live, seen)
            if seen.score is not None:
                ground = self.grounds[live.segment(seen.segment).name]
                ground.saw(float(live.judge.clip(seen.score)))

    def _met(self, live: PolicyDocument, seen: Observation) -> Iterable[Event]:
        """The models at the ends that answered, if they did; another one is another ground."""
        name = live.segment(seen.segment).name
        for end, tier in zip(ENDS, (live.local.name, live.cloud.name), strict=True):
            ground, model = self.grounds[name], seen.models.get(tier)
            if model is None or seen.decision_id <= ground.since:
                continue
            was = ground.models.setdefault(end, model)
            if model != was:
                why = f"{was} was the {end} model, now it is {model}"
                yield from self._anew(name, ground.judge, ground.models | {end: model}, why)

    def _anew(self, name: str, judge: str, models: dict[End, str], why: str) -> Iterable[Event]:
        """Another ground: nothing of the one before is known of it, but how often one tried."""
        before = self.grounds.get(name)
        attempts = before.attempts if before else 0
        self.grounds[name] = Ground(
            judge=judge, models=models, since=self.newest, attempts=attempts
        )
        if before and before.certificate:
            yield voided(name, before.certificate, why)

    def _alarm(self, alarms: Sequence[str]) -> Iterable[Event]:
        """Of whatever kind: a certificate is of the judge, the models and the mix of queries."""
        for name, ground in self.grounds.items() if alarms else ():
            held = ground.certificate
            ground.restart(self.newest)
            if held:
                yield voided(name, held, alarms[-1])

    def _learn(self, live: PolicyDocument, each: Labelled) -> None:
        seen, (local, cloud) = each.observation, (live.local.name, live.cloud.name)
        ground = self.grounds[live.segment(seen.segment).name]
        score = None if seen.score is None else float(live.judge.clip(seen.score))
        if ground.edges is None and score is not None and local not in seen.answered:
            ground.saw(score)  # a shadow's, which was not there when the query was observed
        chance = min(each.probability(local), each.probability(cloud))
        rate = self.rates.get(seen.policy_version, 0.0)
        chosen = seen.excluded.isdisjoint((local, cloud))  # a policy could choose
        new = ground.edges is not None and seen.decision_id > ground.since
        if not (chosen and new and chance and rate):
            return
        if thinned(seen.decision_id) < rate / chance:
            ground.add(score, may_be_lost(each.right.get(local), each.right.get(cloud)))

    def _attempts(self, live: PolicyDocument, asked: WrongAcceptances) -> Iterable[Event]:
        for segment in live.segments:
            ground = self.grounds[segment.name]
            held = ground.certificate
            if held and (held.limit, held.confidence) != (asked.limit, asked.confidence):
                ground.certificate, ground.tried = None, 0
            if not (ground.edges and ground.due):
                continue
            ground.attempt(asked, live.judge.lowest)
            told = {"segment": segment.name, "labels": ground.labels, "attempt": ground.attempts}
            if ground.certificate:
                yield "certificate", told | {"reason": words(ground.certificate)}
            else:
                yield "certificate", told | {"reason": refused(asked, ground.labels)}

    def _published(self, live: PolicyDocument, events: list[Event], now: datetime) -> Review:
        holds = {each.name: self.grounds[each.name].certificate for each in live.segments}
        changed = [each for each in live.segments if each.certificate != holds[each.name]]
        if not changed:
            return Review(live, tuple(events))
        segments = tuple(each.replaced(certificate=holds[each.name]) for each in live.segments)
        said = "; ".join(_change(each, holds[each.name]) for each in changed)
        successor = live.model_copy(
            update={
                "version": live.version + 1,
                "parent": live.version,
                "kind": "proposal",
                "author": "learner",
                "reason": said,
                "issued_at": now,
                "segments": segments,
            }
        )
        voids = any(each.certificate and not holds[each.name] for each in changed)
        return Review(lawful(successor).rederived(), tuple(events), voids)

    def standing(self) -> list[dict[str, Any]]:
        """How far each segment is, as JSON values."""
        return [
            {
                "segment": name,
                "bins_frozen": ground.edges is not None,
                "labels": ground.labels,
                "missing": max(0, max(LABELS, 2 * ground.tried) - ground.labels),
                "attempts": ground.attempts,
                "certificate": ground.certificate and ground.certificate.model_dump(),
            }
            for name, ground in self.grounds.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """The whole state as JSON values."""
        grounds = {name: each.model_dump(mode="json") for name, each in self.grounds.items()}
        rates = {str(version): rate for version, rate in self.rates.items()}
        return {"grounds": grounds, "rates": rates, "newest": str(self.newest)}

    @classmethod
    def from_json(cls, state: dict[str, Any] | None) -> Self:
        """Inverse of ``to_json``; a new one of None."""
        if state is None:
            return cls()
        grounds = {name: Ground.model_validate(each) for name, each in state["grounds"].items()}
        rates = {int(version): rate for version, rate in state["rates"].items()}
        return cls(grounds, rates, UUID(state["newest"]))


def uniform_rate(policy: PolicyDocument) -> float:
    """The least probability with which a query's pair of labels is asked for, in any segment."""
    drawn = [policy.audit.of(segment.name) for segment in policy.segments]
    return min(policy.shadow.rate, *(each.uniform if each else 0.0 for each in drawn))


def thinned(decision_id: UUID) -> float:
    """A number in [0, 1) of the query's own: pairs drawn oftener than others are kept as rarely."""
    digest = blake2b(f"certificate/{decision_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def may_be_lost(local: float | None, cloud: float | None) -> bool:
    """Whether serving the local answer may lose, None being a label that never came.

    >>> may_be_lost(0, 1), may_be_lost(None, 1), may_be_lost(0, None), may_be_lost(None, 0)
    (True, True, True, False)
    """
    local_wrong = local is None or local < RIGHT
    cloud_right = cloud is None or cloud >= RIGHT
    return local_wrong and cloud_right


def lawful(policy: PolicyDocument) -> PolicyDocument:
    """The document with always-cloud, and no certificate, where a segment's is not what is asked.

    Its thresholds are still those of before.
    """
    asked = policy.objective.wrong_acceptances
    segments = [
        each if asked or each.certificate is None else each.replaced(certificate=None)
        for each in policy.segments
    ]
    segments = [
        each.replaced(certificate=None, mode="always_cloud", arms=())
        if policy.uncertified(each)
        else each
        for each in segments
    ]
    return policy.model_copy(update={"segments": tuple(segments)})


def digest(edges: Sequence[float]) -> str:
    """Names frozen bins."""
    return blake2b(np.asarray(edges, dtype=np.float64).tobytes(), digest_size=8).hexdigest()


def words(held: CertifiedCutoff) -> str:
    """A certificate, as an event tells it."""
    return (
        f"certified: accepting scores from {held.score:.4g} up loses at most {held.risk:.1%} "
        f"(asked: {held.limit:.1%}, at {held.confidence:.0%} confidence), by {held.losses} losses "
        f"among {held.labels} uniform pairs; {held.accepted:.0%} of answers lie there"
    )


def refused(asked: WrongAcceptances, labels: int) -> str:
    """What is said of an attempt that came to nothing."""
    return (
        f"{labels} uniform pairs certify no cutoff that loses at most {asked.limit:.1%} "
        f"at {asked.confidence:.0%} confidence"
    )


def voided(segment: str, held: CertifiedCutoff, why: str) -> Event:
    """The event of a certificate whose ground is gone."""
    reason = f"the certified cutoff {held.score:.4g} is void: {why}; nothing is accepted meanwhile"
    return "certificate_void", {"segment": segment, "reason": reason, "attempt": held.attempt}


def _change(was: SegmentPolicy, now: CertifiedCutoff | None) -> str:
    if now is not None:
        return words(now)
    return (
        "the certified cutoff is void: always the cloud until labels certify another"
        if was.certificate
        else "no cutoff is certified: always the cloud"
    )
