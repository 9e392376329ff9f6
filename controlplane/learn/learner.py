"""THE STORY OF THE LEARNER: see > label > fit > imagine > pull > propose.

It never decides a query. It turns observations into plain numbers, and numbers into the next
policy document; same observations in the same order give the same state, bit for bit.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import numpy as np

from controlplane.audit import sample
from controlplane.learn import baselines, categories, dear, judge
from controlplane.learn.advise import Advice, Adviser
from controlplane.learn.draft import Fit
from controlplane.learn.drift import Alarm, Watch
from controlplane.learn.estimate import ModelError
from controlplane.learn.evidence import Evidence, Labels, Record
from controlplane.learn.goals import goal
from controlplane.learn.imagine import ArmGrid, imagine, moved
from controlplane.learn.policy_family import ALWAYS_CLOUD, Arm, Arms, PolicyFamily
from controlplane.learn.prior import MOST, Prior
from controlplane.learn.prior import NONE as NO_PRIOR
from controlplane.learn.quality import DIGITS, QualityPredictor
from controlplane.learn.reason import reason, unreachable
from controlplane.learn.search import Search
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.learn.trial import trial_lambda
from controlplane.learn.usage import Usage
from controlplane.learn.verdict import dissent
from controlplane.observations import Labelled, Observation
from controlplane.stats import effective_labels
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import (
    JudgeTable,
    SegmentPolicy,
)
from dataplane.strategies import Queries

SCHEMA = 9
UNCERTIFIED = "no cutoff is certified yet, so no local answer is accepted: always the cloud"
ON_TRIAL = "a certified cutoff is asked for, and the judge is on trial: always the cloud"
UNJUDGED = "a certified cutoff is asked for, and this arm does not judge: always the cloud"
COUNTERS = ("observed", "labelled", "proposed_at", "considered_at", "binned_at", "seated_at")


class Learner:
    """See the module's docstring. ``tiers`` are named from the cheapest to the dearest."""

    def __init__(
        self,
        tiers: tuple[str, ...],
        settings: LearnerSettings | None = None,
        prior: Prior = NO_PRIOR,
    ) -> None:
        self.tiers = tiers
        self.settings = settings or LearnerSettings()
        self.prior = prior.of(len(tiers))
        self.trust = 1.0  # share of what the prior says of the local tier that alarms left
        self.evidence = Evidence(self.settings.contexts, self.settings.records)
        self.quality = [QualityPredictor.restore(each) for each in self.prior.predictors]
        self.usage = Usage()
        self.watch = Watch(self.settings)
        self.baseline = baselines.chosen(self.settings.bandit)
        self.observed = 0
        self.labelled = 0
        self.proposed_at = 0
        self.considered_at = 0
        self.binned_at = 0
        self.seated_at = 0  # when the tiers became these
        self.bins: judge.Bins | None = None
        self._undecided = False  # as it was last told
        self._alarms: list[str] = []

    # -- see

    def observe(self, observations: Sequence[Observation]) -> None:
        """Completed queries, labelled or not: the traffic and its judge scores.

        Only what a policy can decide: a request that pinned its tier says nothing of an arm.
        """
        for seen in filter(self._tells, observations):
            self.observed += 1
            self.evidence.saw(seen.features, seen.score)
            self.usage.saw(seen.features, seen.used_by(seen.answered))
            self._heed(self.watch.see(seen, self.observed, self.evidence.contexts))

    def _tells(self, seen: Observation) -> bool:
        """Whether a policy could choose; one of the tiers between the ends may have been away."""
        return seen.excluded.isdisjoint((self.tiers[0], self.tiers[-1]))

    def _heed(self, alarm: Alarm | None) -> None:
        """Trust less what was learned before something changed."""
        if alarm is None:
            return
        keep = self.settings.keep_at_alarm
        if alarm.of_answers:
            keep = self.settings.keep_at_answers_alarm
            self.trust *= keep
        self.binned_at = 0
        contexts = max(self.settings.contexts_at_alarm, self.observed - alarm.since)
        self.evidence.forget(keep, alarm.since, contexts)
        self._alarms.append(alarm.words)

    def alarms(self) -> list[str]:
        """What alarmed since the last call, in words."""
        raised, self._alarms = self._alarms, []
        return raised

    # -- label

    def learn(self, labelled: Sequence[Labelled]) -> None:
        """Queries whose audit is resolved."""
        usual = self.evidence.contexts.usual()
        for each in labelled:
            seen = each.observation
            if not self._tells(seen):
                continue
            told = [one.predict(seen.features) for one in self.quality]  # out of sample
            p_hat = tuple(round(each, DIGITS) for each in told)
            if self.tiers[0] not in seen.answered and seen.score is not None:
                self.evidence.judged_late(seen.features, seen.score)
            self.usage.saw(seen.features, seen.used_by(set(seen.used).difference(seen.answered)))
            record = Record(
                self.observed,
                p_hat,
                seen.features.chars,
                seen.score,
                tuple(each.right.get(tier) for tier in self.tiers),
                tuple(each.probability(tier) for tier in self.tiers),
                seen.features.category,
            )
            self._heed(self.watch.label(record, self.observed))
            self.evidence.labelled(record)
            self.labelled += 1
            if self.baseline is not None:
                self.baseline.learn(each, p_hat[0])
            for tier, predictor in zip(self.tiers, self.quality, strict=True):
                if tier in each.right:
                    predictor.learn(seen.features, each.right[tier], usual)

    # -- fit > imagine > pull > propose

    def propose(
        self, live: PolicyDocument, now: datetime, *, undecided: bool = False
    ) -> PolicyDocument | None:
        """The next policy, or None where the live one should stay.

        ``undecided``: whether a judge on trial may yet earn its say; more is drawn for that long.
        """
        self._undecided = undecided
        self._seat(tuple(tier.name for tier in live.tiers))
        if not self._due():
            return None
        self.usage.fade(self.observed - self.considered_at)
        self.considered_at = self.observed
        self.bins, self.binned_at = self._parted(live.judge)
        self._meet_categories()
        draft = self._fit(live, now, self.bins)
        if draft is None:
            return None
        self.watch.expect(draft, self._told_of())
        if self.watch.due(self.labelled, self.observed):
            self.watch.refer(draft, self.labelled, self.evidence.traffic(draft.estimators))
        candidate = self._audited(self._candidate(live, draft))
        if not self._worth_publishing(live, candidate):
            return None
        self.proposed_at = self.observed
        candidate = candidate.rederived()
        return self._advised(draft, candidate) if live.kind == "proposal" else candidate

    def _meet_categories(self) -> None:
        """Let the mean p_hat of each category, where they are named, be near that of its labels."""
        labels = self._labels()
        if not labels.category.any():
            return
        for tier, predictor in enumerate(self.quality):
            told = categories.told(labels, tier)
            predictor.shift(categories.shifts(self.evidence.contexts, predictor, told))

    def _seat(self, tiers: tuple[str, ...]) -> None:
        """Learn of the tiers of the live policy from here on; those between its ends may change."""
        if tiers == self.tiers:
            return
        if (tiers[0], tiers[-1]) != (self.tiers[0], self.tiers[-1]):
            raise ValueError(f"a learner of {self.tiers} cannot go on with {tiers}: begin anew")
        places = [self.tiers.index(name) if name in self.tiers else None for name in tiers]
        self.prior = self.prior.seated(places)
        self.evidence.seat(places)
        self.watch.seat()
        self.quality = [QualityPredictor() if at is None else self.quality[at] for at in places]
        self.tiers, self.seated_at = tiers, self.observed

    def _advised(self, draft: PolicyDocument, candidate: PolicyDocument) -> PolicyDocument:
        """With a word on the mode, where another one fits this traffic better."""
        said = dissent(self._adviser(draft).advice(), candidate.segments[0].mode)
        return candidate.replaced(reason=f"{candidate.reason}; {said}") if said else candidate

    def advise(self, live: PolicyDocument, now: datetime) -> Advice | None:
        """Which mode fits what was seen, whatever the live policy's; None before any label."""
        self._seat(tuple(tier.name for tier in live.tiers))
        draft = self._fit(live, now, self._parted(live.judge)[0])
        return None if draft is None else self._adviser(draft).advice()

    def _adviser(self, draft: PolicyDocument) -> Adviser:
        chosen = self.settings
        labels = self._labels()
        traffic = self.evidence.traffic(draft.estimators)
        return Adviser(draft, traffic, labels, self._model_error(labels), chosen.support)

    def _labels(self) -> Labels:
        chosen = self.settings
        return self.evidence.labels(self.observed, chosen.half_life, chosen.recent_half_life)

    def _model_error(self, labels: Labels) -> ModelError:
        """A recording was worth so many labels before the first one here."""
        recorded = min(self.prior.labels, MOST) * self.trust
        chance = self.settings.sudden_chance
        if self.watch.alarmed_within(self.settings.careful, self.observed, of_answers=True):
            chance = self.settings.sudden_chance_alarmed
        return ModelError(recorded + float(labels.weight.sum()), self.settings.sudden, chance)

    def _due(self) -> bool:
        """Whether enough came since the last retune, and since one was last thought about."""
        since = self.observed - self.proposed_at, self.observed - self.considered_at
        return since[0] >= self.settings.min_decisions and since[1] >= self.settings.min_news

    def _fit(
        self, live: PolicyDocument, now: datetime, parted: judge.Bins | None
    ) -> PolicyDocument | None:
        """The live document with everything but the arm refitted."""
        if parted is None and (self.settings.mode == "route" or _on_trial(live)):
            parted = judge.unjudged(live.judge)
        if parted is None or not self.labelled:
            return None
        labels = self._labels()
        proven = [self._proven(labels, tier) for tier in range(1, len(self.tiers))]
        estimators = tuple(each.estimator() for each in self.quality)
        fit = Fit.to(self.evidence, labels, estimators, self.prior.weakened(self.trust))
        used = live.model_copy(update={"tiers": self.usage.told(live.tiers)})
        draft, support = fit.draft(used, now, parted, proven)
        rates = self._rates(support, all(proven))
        if self._undecided:  # a shadow is evidence only where both answers are labelled
            least = live.shadow.undecided
            rates = rates.at_least(DrawRates(least, least))
        if uncertified(draft):
            rates = rates.at_least(self.settings.cold)
        names = [each.name for each in draft.segments]
        audit = sample.at_rate(live.audit, rates.audit, names)
        audit = audit.replaced(held_out=self.settings.held_out)
        shadow = sample.within(live.shadow.replaced(rate=rates.shadow), audit, names[0])
        return draft.model_copy(update={"audit": audit, "shadow": shadow})

    def _parted(self, scale: JudgeTable) -> tuple[judge.Bins | None, int]:
        """The judge's bins, and how many scores they come from.

        New ones whenever the scores at hand have doubled: edges stay frozen in between.
        """
        scores = self.evidence.scores()
        if self.bins is None or len(scores) >= 2 * self.binned_at:
            parted = judge.bins(scale.clipped(scores))
            if parted is not None:
                return parted, len(scores)
        return self.bins, self.binned_at

    def _proven(self, labels: Labels, tier: int) -> bool:
        """Whether an arm may call this tier: it is the dearest, or enough labels tell of it."""
        return tier == len(self.tiers) - 1 or self._told(labels, tier) >= self.settings.support

    def _told(self, labels: Labels, tier: int) -> float:
        """The effective number of labels that tell of a tier."""
        known = dear.paired(labels, tier) if tier else ~np.isnan(labels.right[:, 0])
        return effective_labels(labels.weight[known])

    def _told_of(self) -> list[bool]:
        """Of which tiers there are labels enough to know what to expect of the next one."""
        labels, enough = self._labels(), self.settings.judged_labels
        return [self._told(labels, tier) >= enough for tier in range(len(self.tiers))]

    def _rates(self, support: float, proven: bool) -> DrawRates:
        """A tier that is long unproven fails, or no shadow may ask it: it is not waited for."""
        if support < self.settings.support:
            return self.settings.cold
        recent = self.watch.alarmed_within(self.settings.burst, self.observed)
        trial = not proven and self.observed - self.seated_at < self.settings.careful
        return self.settings.alarmed if recent or trial else self.settings.steady

    @property
    def _kappa(self) -> float:
        usual, wary, within = self.settings.kappa, self.settings.wary, self.watch.alarmed_within
        joined = self.seated_at > 0 and self.observed - self.seated_at < self.settings.careful
        alarmed = within(self.settings.careful, self.observed)
        changed = within(wary, self.observed, of_answers=True)
        return max(usual, self.settings.kappa_alarmed) if joined or alarmed or changed else usual

    def _candidate(self, live: PolicyDocument, draft: PolicyDocument) -> PolicyDocument:
        """The draft with the arm to serve, and why; its thresholds are still those of before."""
        was, search = draft.segments[0], self._search(draft)
        arm, why = self._allowed(live, search)
        segment = was.replaced(
            mode=arm.mode,
            lambda_=arm.lambda_,
            trial_lambda=self._trial_lambda(search) if _on_trial(draft) else None,
        )
        return draft.model_copy(update={"segments": (segment,), "kind": "retune", "reason": why})

    def _trial_lambda(self, search: Search) -> float | None:
        """Where the judge is on trial; None until labels tell of its scores, and while nothing may
        be accepted whatever they are.
        """
        labels = search.labels
        told = labels.weight[~np.isnan(labels.score) & ~np.isnan(labels.right[:, 0])]
        if uncertified(search.draft) or effective_labels(told) < self.settings.support:
            return None
        return trial_lambda(search.draft, search.traffic)

    def _allowed(self, live: PolicyDocument, search: Search) -> tuple[Arm, str]:
        """The arm to serve, and why; always-cloud where a certificate is wanting, or bars what may
        serve while the judge is on trial.
        """
        draft = search.draft
        if uncertified(draft):
            return ALWAYS_CLOUD, UNCERTIFIED
        certified = draft.segments[0].certificate is not None
        if certified and _on_trial(draft):
            return ALWAYS_CLOUD, ON_TRIAL
        arm, why = self._pulled(draft) if self.baseline is not None else self._found(live, search)
        return (ALWAYS_CLOUD, UNJUDGED) if certified and not arm.judges else (arm, why)

    def _pulled(self, draft: PolicyDocument) -> tuple[Arm, str]:
        """What a baseline pulls, and why: it goes there at once."""
        assert self.baseline is not None
        known = not _on_trial(draft) and self.labelled >= self.settings.support
        traffic = self.evidence.traffic(draft.estimators)
        arm = self.baseline.pull(draft, traffic, may_judge=known)
        return arm, self.baseline.reason(arm)

    def _search(self, draft: PolicyDocument) -> Search:
        labels = self._labels()
        return Search(
            draft,
            self.evidence.traffic(draft.estimators),
            labels,
            goal(draft.objective, self._kappa),
            self._model_error(labels),
            self.settings.support,
        )

    def _found(self, live: PolicyDocument, search: Search) -> tuple[Arm, str]:
        """The arm that serves the objective best, or a step towards it, and why."""
        aim, family = self._aim(search)
        arm = self._step(live, aim)
        if arm != aim:
            search.inform(family, Arms((arm,)))
        return arm, reason(search.draft.segments[0], aim, arm, family, self.labelled)

    def _aim(self, search: Search) -> tuple[Arm, PolicyFamily]:
        """Among the arms that may serve: while the judge is on trial, what its terms say."""
        if not _on_trial(search.draft):
            return search.aim(self.settings.mode)
        if search.draft.trust.while_closed == "route":
            return search.aim("route")
        return ALWAYS_CLOUD, search.informed(Arms((ALWAYS_CLOUD,)))

    def _step(self, live: PolicyDocument, aim: Arm) -> Arm:
        """Part of the way to the aim, in log lambda; all of it where something has changed.

        Where quality is flat in lambda, each handful of labels moves the aim a long way.
        """
        was, alarmed = live.segments[0], self.watch.alarmed_within
        told = live.author != "learner" or live.kind == "proposal"
        changed = told or alarmed(self.settings.burst, self.observed)
        if changed or was.mode != aim.mode or not was.lambda_:
            return aim
        share = self.settings.step
        return Arm(aim.mode, was.lambda_ ** (1 - share) * aim.lambda_**share)

    def _audited(self, candidate: PolicyDocument) -> PolicyDocument:
        """The candidate with its audits where labels are worth most to it."""
        audit = sample.drawing(candidate, self._seen(candidate), self.settings.floor)
        return candidate.model_copy(update={"audit": audit})

    def _seen(self, document: PolicyDocument) -> Queries:
        seen = self.evidence.traffic(document.estimators)
        return Queries(seen.p_hat, seen.chars, seen.score, seen.category)

    def _worth_publishing(self, live: PolicyDocument, candidate: PolicyDocument) -> bool:
        if live.audit.rate != candidate.audit.rate or live.shadow != candidate.shadow:
            return True
        if not sample.keeps(live, self._seen(live)):
            return True
        if unreachable(live.reason) != unreachable(candidate.reason):
            return True
        if self.baseline is not None and _arm(live) != _arm(candidate):
            return True  # an arm that is never served is never known
        return self._changes(live, candidate) or self._tries_otherwise(live, candidate)

    def _changes(self, live: PolicyDocument, candidate: PolicyDocument) -> bool:
        """Whether enough of the recent queries would be served otherwise."""
        before, after = (
            imagine(
                document, self.evidence.traffic(document.estimators), _only(document.segments[0])
            )
            for document in (live, candidate)
        )
        return float(moved(before, after).mean()) >= self.settings.min_change

    def _tries_otherwise(self, live: PolicyDocument, candidate: PolicyDocument) -> bool:
        """Whether the judge on trial would decide otherwise: what is tried is what is published."""
        if not _on_trial(candidate):
            return False
        before, after = (document.segments[0].judging for document in (live, candidate))
        if before is None or after is None:
            return before is not after
        return self._changes(
            *(
                document.model_copy(update={"segments": (judging,)})
                for document, judging in ((live, before), (candidate, after))
            )
        )

    # -- state

    def to_json(self) -> str:
        """The whole state with its schema version and checksum."""
        body = {
            "schema": SCHEMA,
            "tiers": self.tiers,
            "evidence": self.evidence.state(),
            "quality": [each.state() for each in self.quality],
            "prior": self.prior.beliefs().to_json(),
            "trust": self.trust,
            "usage": self.usage.state(),
            "watch": self.watch.state(),
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "bins": {k: v.tolist() for k, v in asdict(self.bins).items()} if self.bins else None,
        }
        if self.baseline is not None:
            body["baseline"] = self.baseline.state()
        text = json.dumps(body, separators=(",", ":"))
        return json.dumps({"checksum": _checksum(text), "body": text})

    @classmethod
    def from_json(cls, text: str, settings: LearnerSettings | None = None) -> "Learner":
        """Inverse of ``to_json``; raises ``ValueError`` for a damaged or unknown state."""
        envelope = json.loads(text)
        if envelope["checksum"] != _checksum(envelope["body"]):
            raise ValueError("learner state: the checksum does not match")
        body = json.loads(envelope["body"])
        if body["schema"] != SCHEMA:
            raise ValueError(f"learner state: schema {body['schema']} is unknown, {SCHEMA} is read")
        learner = cls(tuple(body["tiers"]), settings, Prior.from_json(body["prior"]))
        learner.trust = body["trust"]
        learner.evidence.restore(body["evidence"])
        learner.quality = [QualityPredictor.restore(each) for each in body["quality"]]
        learner.usage.restore(body["usage"])
        learner.watch.restore(body["watch"])
        if learner.baseline is not None:
            learner.baseline.restore(body.get("baseline"))
        for name in COUNTERS:
            setattr(learner, name, body["counters"][name])
        columns = body["bins"]
        learner.bins = columns and judge.Bins(
            *(np.array(columns[k]) for k in ("edges", "raw", "z"))
        )
        return learner


def uncertified(policy: PolicyDocument) -> bool:
    """Whether a certificate is asked for, and none holds."""
    return bool(policy.objective.wrong_acceptances) and policy.segments[0].certificate is None


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _on_trial(document: PolicyDocument) -> bool:
    return document.segments[0].trust == "closed"


def _arm(document: PolicyDocument) -> Arm:
    return Arm(document.segments[0].mode, document.segments[0].lambda_)


def _only(segment: SegmentPolicy) -> ArmGrid:
    return ArmGrid((segment.mode,), np.array([segment.lambda_]))
