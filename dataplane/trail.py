"""Trail: what one query leaves behind, written down as it happens."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from secrets import randbits
from typing import Literal, TypeAlias
from uuid import UUID

import orjson

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Rival
from dataplane.contract.records import (
    Attempt,
    Completion,
    Decision,
    Draw,
    JudgeScore,
    Record,
    Step,
    StepState,
    Text,
    millisecond,
)
from dataplane.contract.terms import TierTerms
from dataplane.features import FEATURE_VERSION, extract
from dataplane.judges import JUDGES
from dataplane.query import Query
from dataplane.rows import Call, grade
from dataplane.strategies import JUDGE, Choice, State, choose, consider, draw
from dataplane.strategies.base import CALL
from dataplane.strategies.draws import on_trial
from dataplane.strategies.eligibility import remaining
from dataplane.tiers.base import Answer, TierError

Keep: TypeAlias = Literal["none", "sampled", "all"]
Status: TypeAlias = Literal["ok", "error", "aborted"]


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What a query may be decided between, and why not what else there is."""

    eligible: tuple[str, ...]
    excluded: Mapping[str, str]


class Trail:
    """A query's records; `take` hands out those not handed out yet.

    The clock is monotonic. `waiting` marks the time spent on tiers and on the client: what is left
    of the latency is the gateway's own overhead.
    """

    def __init__(
        self,
        decision_id: UUID,
        query: Query,
        policy: PolicyDocument,
        eligibility: Eligibility,
        timeout_s: float,
        rivals: Sequence[Rival] = (),
    ) -> None:
        self._started_s = time.monotonic()
        self._waited_s = 0.0
        self.deadline = self._started_s + timeout_s
        self.query = query
        self.policy = policy
        self.id = decision_id
        self.at: datetime = millisecond(decision_id)
        self.seed = randbits(63)
        self._features = features = extract(query.messages, query.category)
        self._eligibility = eligibility
        self._rivals = () if eligibility.excluded else rivals
        self._context = consider(policy, features, policy.segments[0].name, eligibility.eligible)
        self.answers: dict[str, Answer] = {}
        self.errors: list[TierError] = []
        self.score: float | None = None
        self.cost_usd = 0.0
        self.sent = False  # a part of the answer has left for the client
        self.completion: Completion | None = None
        self.actions: list[str] = []
        self._attempts = 0
        self._pending: list[Record] = [
            Decision(
                id=self.id,
                at=self.at,
                tenant=query.tenant,
                conversation=query.conversation,
                request_id=query.request_id,
                policy_version=policy.version,
                feature_version=FEATURE_VERSION,
                features=features.compact(),
                segment=self._context.segment.name,
                eligible=eligibility.eligible,
                excluded=dict(eligibility.excluded),
                seed=self.seed,
            )
        ]

    @property
    def state(self) -> State:
        """The attempts so far, as a strategy sees them."""
        return State(tuple(self.answers), self.score)

    @property
    def tiers_left(self) -> list[str]:
        """The tiers that may still be asked."""
        left = remaining(self._eligibility.eligible, self.actions, self.state)
        return [tier.name for tier in self.policy.tiers if tier.name in left]

    @property
    def final_tier(self) -> str | None:
        """The tier whose answer is the client's: the last one that answered."""
        return next(reversed(self.answers), None)

    @property
    def asked(self) -> str | None:
        """The tier that was asked last."""
        return next(
            (a.removeprefix(CALL) for a in reversed(self.actions) if a.startswith(CALL)), None
        )

    @cached_property
    def _terms(self) -> dict[str, TierTerms]:
        return {tier.name: tier for tier in self.policy.tiers}

    def usual_tokens(self, tier: str) -> int:
        """Tokens that an answer of this tier is expected to take, within what the client allows."""
        body, usual = self.query.body, self._terms[tier].completion_tokens
        allowed = body.get("max_completion_tokens") or body.get("max_tokens") or usual
        return round(min(usual, allowed))

    def choose(self) -> str:
        """Decide the next action, and write the step down."""
        choice, state = self._choice(self.state), self.state
        known = StepState(
            answered=state.answered, score=state.score, judged=state.score is not None
        )
        self._pending.append(
            Step(
                decision_id=self.id,
                at=self.at,
                index=len(self.actions),
                state=known,
                pmf=choice.pmf,
                action=choice.action,
                propensity=choice.propensity,
                threshold=choice.threshold,
                values=choice.values,
            )
        )
        self.actions.append(choice.action)
        return choice.action

    def after(self, tier: str) -> str:
        """The action that an answer of this tier would lead to."""
        return self._choice(State((*self.answers, tier), self.score)).action

    def _choice(self, state: State) -> Choice:
        left = remaining(self._eligibility.eligible, self.actions, state)
        return choose(self._context.within(left), state, self.seed)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time that is not the gateway's own."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            self._waited_s += time.monotonic() - began_s

    def answered(self, tier: str, answer: Answer) -> None:
        """A tier gave its answer."""
        self.answers[tier] = answer
        self.called(Call.answered(tier, answer))

    def called(self, call: Call) -> None:
        """A call of a tier ended; whatever it used is charged."""
        self._charge(
            call.attempt(self.id, self.at, self._terms[call.tier], "serve", self._attempts)
        )
        self._attempts += 1

    def judged(self, raw: float) -> None:
        """The judge scored the local answer; a judge that costs something is an attempt, too."""
        self.score = raw
        if self.policy.judge.cost_usd:
            self._charge(self._judging())
        self._pending.append(grade(self.id, self.at, self._context, raw, "serve", index=0))

    def _charge(self, attempt: Attempt) -> None:
        self.cost_usd += attempt.cost_usd
        self._pending.append(attempt)

    def _judging(self) -> Attempt:
        return Attempt(
            decision_id=self.id,
            at=self.at,
            index=0,
            tier=self.policy.local.name,
            model=self.policy.judge.judge,
            purpose="judge",
            prompt_tokens=0,
            completion_tokens=0,
            tokens_exact=True,
            cost_usd=self.policy.judge.cost_usd,
            latency_ms=0.0,
            finish="stop",
        )

    def complete(self, status: Status, keep: Keep, error: str | None = None) -> None:
        """The end: the completion, its draws and the texts that they need."""
        latency_s = time.monotonic() - self._started_s
        self.completion = Completion(
            decision_id=self.id,
            at=self.at,
            final_tier=self.final_tier if status == "ok" else None,
            escalated=len(self.answers) > 1,
            cost_usd=self.cost_usd,
            latency_ms=latency_s * 1e3,
            overhead_ms=max(latency_s - self._waited_s, 0.0) * 1e3,
            status=status,
            error=error,
        )
        draws = self._draws() if status == "ok" and keep != "none" else []
        self._pending += [*self._tried(draws), self.completion, *draws]
        if keep == "all" or (keep == "sampled" and draws):
            self._pending += self._texts()

    def _draws(self) -> list[Draw]:
        """The draws that fell, but for a shadow on a tier that may not answer this query."""
        segment = self._context.segment.name
        rivals = () if self.errors else self._rivals
        drawn = draw(self.policy, segment, self._features, self.state, self.seed, rivals)
        may = self._eligibility.eligible
        return [
            Draw(
                decision_id=self.id,
                at=self.at,
                kind=one.kind,
                tier=one.tier,
                probability=one.probability,
                rival=one.rival,
            )
            for one in drawn
            if one.tier is None or one.tier in may
        ]

    def _tried(self, draws: Sequence[Draw]) -> list[JudgeScore]:
        """The score of a local answer that was served unjudged, for the judge's trial or a rival's
        sake alone.
        """
        local, judge = self.answers.get(self.policy.local.name), self.policy.judge.judge
        shadowed = any(one.kind == "shadow" for one in draws)
        unjudged = local is not None and self.score is None and JUDGE in self._eligibility.eligible
        wanted = on_trial(self._context.segment) or self._rivals
        if not (shadowed and unjudged and wanted):
            return []
        assert local is not None
        if local.logprobs is None:
            return []
        raw = JUDGES[judge](local.logprobs)
        return [grade(self.id, self.at, self._context, raw, "shadow", index=0)]

    def _texts(self) -> list[Text]:
        bodies = {
            "prompt": orjson.dumps(self.query.messages).decode(),
            "options": orjson.dumps(self.query.options).decode(),
        } | {f"answer:{tier}": answer.text for tier, answer in self.answers.items()}
        return [
            Text(decision_id=self.id, at=self.at, key=key, body=body)
            for key, body in bodies.items()
        ]

    def take(self) -> Sequence[Record]:
        """The records since the last call, in order."""
        pending, self._pending = self._pending, []
        return pending
