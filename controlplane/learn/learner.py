"""THE STORY OF THE LEARNER: see > label > fit > imagine > pull > propose.

It never decides a query. It turns observations into plain numbers, and numbers into the next
policy document; same observations in the same order give the same state, bit for bit.
"""

from collections.abc import Sequence
from datetime import datetime

from controlplane.audit import sample
from controlplane.learn import categories, draws, judge
from controlplane.learn.advise import Advice, Adviser
from controlplane.learn.change import Change
from controlplane.learn.draft import Fit
from controlplane.learn.draws import Want
from controlplane.learn.drift import Alarm
from controlplane.learn.estimate import Basis, ModelError
from controlplane.learn.evidence import Labels, Record
from controlplane.learn.goals import goal
from controlplane.learn.prior import MOST
from controlplane.learn.pull import Pull, on_trial
from controlplane.learn.quality import DIGITS, QualityPredictor
from controlplane.learn.search import Search
from controlplane.learn.state import State
from controlplane.learn.verdict import dissent
from controlplane.observations import Labelled, Observation
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import JudgeTable

AMONG = 0.5  # share of what words are believed to say of a tier, where one of several is picked


class Learner(State):
    """See the module's docstring. ``tiers`` are named from the cheapest to the dearest."""

    # -- see

    def follow(self, live: PolicyDocument) -> None:
        """Learn of the tiers of this policy, which serves from here on.

        Those between its ends may be others than before.
        """
        self._seat(tuple(tier.name for tier in live.tiers))
        self.watch.follow(live.segments[0].trust, self.observed)

    def observe(self, observations: Sequence[Observation]) -> None:
        """Completed queries, labelled or not: the traffic and its judge scores.

        Only what a policy can decide: a request that pinned its tier says nothing of an arm.
        """
        telling = [each for each in observations if self._tells(each)]
        p_hats = self.watch.p_hats([each.features for each in telling])
        for seen, p_hat in zip(telling, p_hats, strict=True):
            self.observed += 1
            self.evidence.saw(seen.features, seen.score)
            self.usage.saw(seen.features, seen.used_by(seen.answered))
            self._heed(self.watch.see(seen, p_hat, self.observed, self.evidence.contexts))

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
            words = tuple(round(one.words_add(seen.features), DIGITS) for one in self.quality)
            record = Record.of(each, self.observed, words, self.tiers)
            self._heed(self.watch.label(record, p_hat, self.observed))
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
        self.follow(live)
        if not self._due():
            return None
        self.usage.fade(self.observed - self.considered_at)
        self.considered_at = self.observed
        self.bins, self.binned_at = self._parted(live.judge)
        self._meet_categories(self._labels())
        parted = self._usable(self.bins, live)
        if parted is None:
            return None
        labels = self._labels()
        told = self._told(labels)
        draft, support = self._fit(live, now, parted, labels, told)
        draft = self._levelled(draft, labels)
        draft = self._drawn(draft, support, told, undecided)
        basis = self._basis(draft, self._labels())
        self._watch(basis, told)
        candidate = self._candidate(live, basis)
        if not self._worth_publishing(live, candidate, basis):
            return None
        self.proposed_at = self.observed
        candidate = candidate.rederived()
        return self._advised(basis, candidate) if live.kind == "proposal" else candidate

    def advise(self, live: PolicyDocument, now: datetime) -> Advice | None:
        """Which mode fits what was seen, whatever the live policy's; None before any label."""
        basis = self.basis(live, now)
        return None if basis is None else Adviser(basis, self.settings.support).advice()

    def basis(self, live: PolicyDocument, now: datetime) -> Basis | None:
        """What arms of any mode are estimated from as of now; None before any label."""
        self._seat(tuple(tier.name for tier in live.tiers))
        parted = self._usable(self._parted(live.judge)[0], live)
        if parted is None:
            return None
        labels, shifts = self._labels(), [each.shifts for each in self.quality]
        draft, _ = self._fit(live, now, parted, labels, self._told(labels))
        found = self._basis(self._levelled(draft, labels), self._labels())
        for predictor, before in zip(self.quality, shifts, strict=True):
            predictor.shift(before)
        return found

    def _seat(self, tiers: tuple[str, ...]) -> None:
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

    def _due(self) -> bool:
        """Whether enough came since the last retune, and since one was last thought about."""
        since = self.observed - self.proposed_at, self.observed - self.considered_at
        return since[0] >= self.settings.min_decisions and since[1] >= self.settings.min_news

    # -- fit

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

    def _usable(self, parted: judge.Bins | None, live: PolicyDocument) -> judge.Bins | None:
        """The bins to fit, which traffic without scores may do without; None: not yet."""
        if parted is None and (self.settings.mode == "route" or on_trial(live)):
            parted = judge.unjudged(live.judge)
        return parted if self.labelled else None

    def _labels(self) -> Labels:
        chosen = self.settings
        lives = chosen.half_life, chosen.recent_half_life
        return self.evidence.labels(self.observed, *lives, self.quality)

    def _meet_categories(self, labels: Labels) -> None:
        """Let the mean p_hat of each category, where they are named, be near that of its labels."""
        if not labels.category.any():
            return
        for tier, predictor in enumerate(self.quality):
            told, contexts = categories.told(labels, tier), self.evidence.contexts
            share = 1.0 if len(self.tiers) == 2 else AMONG
            predictor.believe(categories.usual_words(contexts, predictor), share)
            predictor.shift(categories.shifts(contexts, predictor, told))

    def _levelled(self, draft: PolicyDocument, labels: Labels) -> PolicyDocument:
        """The draft, each tier's level in each category as the labels have it.

        Where one of several tiers is picked its level is compared with the others'.
        """
        if len(self.tiers) == 2 or not labels.category.any():
            return draft
        seen, weight = self.evidence.traffic(draft.estimators), self.evidence.contexts.weights()
        tolds = [categories.told(labels, tier) for tier in range(len(self.tiers))]
        by = categories.settled(draft, seen, weight, tolds)
        for predictor, further in zip(self.quality, by.tolist(), strict=True):
            moved = {at: predictor.shifts.get(at, 0.0) + more for at, more in enumerate(further)}
            predictor.shift({at: shift for at, shift in moved.items() if shift})
        estimators = tuple(each.estimator() for each in self.quality)
        return draft.model_copy(update={"estimators": estimators})

    def _told(self, labels: Labels) -> list[float]:
        """The effective number of labels that tell of each tier."""
        return [labels.support(tier) for tier in range(len(self.tiers))]

    def _proven(self, told: Sequence[float]) -> list[bool]:
        """Whether an arm may call each dear tier: the dearest, and others that labels tell of."""
        return [*(each >= self.settings.support for each in told[1:-1]), True]

    def _fit(
        self,
        live: PolicyDocument,
        now: datetime,
        parted: judge.Bins,
        labels: Labels,
        told: Sequence[float],
    ) -> tuple[PolicyDocument, float]:
        """The live document with all that it believes refitted.

        And the effective number of labels behind its judge.
        """
        estimators = tuple(each.estimator() for each in self.quality)
        fit = Fit.to(self.evidence, labels, estimators, self.prior.weakened(self.trust))
        used = live.model_copy(update={"tiers": self.usage.told(live.tiers)})
        return fit.draft(used, now, parted, self._proven(told))

    def _drawn(
        self, draft: PolicyDocument, support: float, told: Sequence[float], undecided: bool
    ) -> PolicyDocument:
        """The draft with how often the next queries are audited and shadowed.

        A tier that is long unproven fails, or no shadow may ask it: it is not waited for.
        """
        joined = self.observed - self.seated_at < self.settings.careful
        want = Want(
            judging=support < self.settings.support,
            news=self.watch.alarmed_within(self.settings.burst, self.observed)
            or (joined and not all(self._proven(told))),
            trial=undecided,
        )
        return draws.at(draft, want.rates(draft, self.settings), self.settings.held_out)

    def _watch(self, basis: Basis, told: Sequence[float]) -> None:
        """Hold what comes next against the draft."""
        enough = [each >= self.settings.judged_labels for each in told]
        self.watch.expect(basis.draft, enough)
        if self.watch.due(self.labelled, self.observed):
            self.watch.refer(basis.draft, self.labelled, basis.traffic, self.observed)

    # -- imagine > pull

    def _basis(self, draft: PolicyDocument, labels: Labels) -> Basis:
        """What each arm is estimated from."""
        traffic = self.evidence.traffic(draft.estimators)
        return Basis(draft, traffic, labels, self._model_error(labels))

    def _model_error(self, labels: Labels) -> ModelError:
        """A recording was worth so many labels before the first one here.

        Each choice between the local tier and a dear one has its share of them.
        """
        recorded = min(self.prior.labels, MOST) * self.trust
        chance = self.settings.sudden_chance
        if self.watch.alarmed_within(self.settings.careful, self.observed, of_answers=True):
            chance = self.settings.sudden_chance_alarmed
        share = (recorded + float(labels.weight.sum())) / (len(self.tiers) - 1)
        return ModelError(share, self.settings.sudden, chance)

    @property
    def _kappa(self) -> float:
        usual, wary, within = self.settings.kappa, self.settings.wary, self.watch.alarmed_within
        joined = self.seated_at > 0 and self.observed - self.seated_at < self.settings.careful
        alarmed = within(self.settings.careful, self.observed)
        changed = within(wary, self.observed, of_answers=True)
        return max(usual, self.settings.kappa_alarmed) if joined or alarmed or changed else usual

    def _candidate(self, live: PolicyDocument, basis: Basis) -> PolicyDocument:
        """The draft with the arm to serve, and why, and its audits where labels are worth most.

        Its thresholds are still those of before.
        """
        aim = goal(basis.draft.objective, self._kappa)
        pull = Pull(
            Search(basis, aim, self.settings.support),
            self.settings.mode,
            self._share(live),
            self.labelled,
            self.baseline,
        )
        arm, why = pull.pulled()
        segment = basis.draft.segments[0].replaced(
            mode=arm.mode, lambda_=arm.lambda_, trial_lambda=pull.trial_lambda()
        )
        served = {"segments": (segment,), "kind": "retune", "reason": why}
        candidate = basis.draft.model_copy(update=served)
        audit = sample.drawing(candidate, basis.traffic, self.settings.floor)
        return candidate.model_copy(update={"audit": audit})

    def _share(self, live: PolicyDocument) -> float:
        """Of the way to the best arm that a retune goes: all of it where something has changed."""
        told = live.author != "learner" or live.kind == "proposal"
        changed = told or self.watch.alarmed_within(self.settings.burst, self.observed)
        return 1.0 if changed else self.settings.step

    # -- propose

    def _worth_publishing(
        self, live: PolicyDocument, candidate: PolicyDocument, basis: Basis
    ) -> bool:
        """A baseline's arm always is: one that is never served is never known."""
        seen = self.evidence.traffic(live.estimators)
        change = Change(live, candidate, seen, basis, self.settings.min_change)
        return change.worth_publishing(whatever_arm=self.baseline is not None)

    def _advised(self, basis: Basis, candidate: PolicyDocument) -> PolicyDocument:
        """With a word on the mode, where another one fits this traffic better."""
        advice = Adviser(basis, self.settings.support).advice()
        said = dissent(advice, candidate.segments[0].mode)
        return candidate.replaced(reason=f"{candidate.reason}; {said}") if said else candidate
