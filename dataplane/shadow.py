"""Shadow calls: a silent tier answers a drawn query, unseen by the client, recorded and charged."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import UUID7, AwareDatetime, BaseModel, ConfigDict, Field

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import Attempt, JudgeScore, Text, millisecond
from dataplane.contract.sections import MOST_TIERS
from dataplane.errors import invalid, unavailable
from dataplane.features import extract
from dataplane.gateway import Policies, Recording
from dataplane.guarded_tier import GuardedTier, passing
from dataplane.judges import JUDGES
from dataplane.rows import Call, grade
from dataplane.strategies import consider
from dataplane.tiers.base import Answer, TierError
from dataplane.trail import Keep


class ShadowCall(BaseModel):
    """Which tier shall answer which drawn query."""

    model_config = ConfigDict(extra="forbid")

    decision_id: UUID7
    at: AwareDatetime
    tier: Annotated[str, Field(min_length=1, max_length=100)]
    policy_version: Annotated[int, Field(ge=1)]
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    options: dict[str, Any] = {}


class ShadowEnding(BaseModel):
    """How it went, and what it cost."""

    status: Literal["done", "failed"]
    cost_usd: float


class Shadows:
    """Makes shadow calls."""

    def __init__(
        self,
        tiers: Mapping[str, GuardedTier],
        policies: Policies,
        recording: Recording,
        *,
        keep: Keep = "sampled",
        timeout_s: float = 60.0,
    ) -> None:
        self._tiers = tiers
        self._policies = policies
        self._recording = recording
        self._keep = keep
        self._timeout_s = timeout_s

    async def answer(self, call: ShadowCall) -> ShadowEnding:
        """Let the tier answer; raises ``ApiError`` 400, and 503 where it may help to ask again."""
        tier = self._tier(call)
        policy = self._policies.policy_for(str(call.decision_id))
        began_s = time.monotonic()
        body = {**call.options, "messages": call.messages}
        try:
            answer = await tier.ask_unseen(body, began_s + self._timeout_s)
        except TierError as error:
            latency_ms = (time.monotonic() - began_s) * 1e3
            failed = Call.failed(call.tier, tier.tier.model, error, latency_ms)
            return self._failed(_attempt(call, policy, failed), error)
        attempt = _attempt(call, policy, Call.answered(call.tier, answer))
        texts = [] if self._keep == "none" else [_text(call, answer)]
        self._recording.record(attempt, *_scores(call, policy, answer), *texts)
        return ShadowEnding(status="done", cost_usd=attempt.cost_usd)

    def _tier(self, call: ShadowCall) -> GuardedTier:
        tier = self._tiers.get(call.tier)
        if tier is None:
            raise invalid(f"no tier {call.tier} here", "tier")
        if call.at != millisecond(call.decision_id):
            raise invalid("at is not the decision's", "at")
        if reason := tier.unavailable:
            raise unavailable(f"{call.tier}: {reason}", "tier_unavailable", 5)
        return tier

    def _failed(self, attempt: Attempt, error: TierError) -> ShadowEnding:
        self._recording.record(attempt)
        if passing(error):
            raise unavailable(str(error), "tier_unavailable", error.retry_after_s or 5)
        return ShadowEnding(status="failed", cost_usd=attempt.cost_usd)


def _attempt(call: ShadowCall, policy: PolicyDocument, made: Call) -> Attempt:
    terms = policy.tiers[_place(call, policy)]
    return made.attempt(call.decision_id, call.at, terms, "shadow", _index(call, policy))


def _scores(call: ShadowCall, policy: PolicyDocument, answer: Answer) -> list[JudgeScore]:
    """The judge's score, where it is the judged tier's answer."""
    judge = JUDGES.get(policy.judge.judge)
    if call.tier != policy.local.name or judge is None or answer.logprobs is None:
        return []
    raw = judge(answer.logprobs)
    context = consider(policy, extract(call.messages), policy.segments[0].name, (call.tier,))
    return [grade(call.decision_id, call.at, context, raw, "shadow", _index(call, policy))]


def _text(call: ShadowCall, answer: Answer) -> Text:
    return Text(
        decision_id=call.decision_id, at=call.at, key=f"answer:{call.tier}", body=answer.text
    )


def _place(call: ShadowCall, policy: PolicyDocument) -> int:
    return [tier.name for tier in policy.tiers].index(call.tier)


def _index(call: ShadowCall, policy: PolicyDocument) -> int:
    """Another one for each tier and second: tries are further apart, and each of them costs."""
    seconds = max(0, int((datetime.now(UTC) - call.at).total_seconds()))
    return seconds * MOST_TIERS + _place(call, policy)
