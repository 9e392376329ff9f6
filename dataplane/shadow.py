"""Shadow calls: a silent tier answers a drawn query, unseen by the client, recorded and charged."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import UUID7, AwareDatetime, BaseModel, ConfigDict, Field

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import Attempt, JudgeScore, Record, Text, millisecond
from dataplane.errors import invalid, unavailable
from dataplane.features import extract
from dataplane.gateway import Policies, Recording
from dataplane.guarded_tier import GuardedTier, passing
from dataplane.judges import JUDGES
from dataplane.strategies import calibrated, consider
from dataplane.tiers.base import Answer, TierError, Usage

Keep = Literal["none", "sampled", "all"]


class ShadowCall(BaseModel):
    """Which tier shall answer which drawn query."""

    model_config = ConfigDict(extra="forbid")

    decision_id: UUID7
    at: AwareDatetime
    tier: Annotated[str, Field(min_length=1, max_length=100)]
    policy_version: Annotated[int, Field(ge=1)]
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]


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
        try:
            body = {"messages": call.messages}
            answer = await tier.ask_unseen(body, began_s + self._timeout_s)
        except TierError as error:
            return self._failed(call, policy, tier, error, (time.monotonic() - began_s) * 1e3)
        attempt = self._attempt(call, policy, tier, answer)
        texts = [] if self._keep == "none" else [_text(call, answer)]
        self._recording.record(attempt, *self._scores(call, policy, answer), *texts)
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

    def _failed(
        self,
        call: ShadowCall,
        policy: PolicyDocument,
        tier: GuardedTier,
        error: TierError,
        latency_ms: float,
    ) -> ShadowEnding:
        attempt = self._attempt(call, policy, tier, error, latency_ms)
        self._recording.record(attempt)
        if passing(error):
            raise unavailable(str(error), "tier_unavailable", error.retry_after_s or 5)
        return ShadowEnding(status="failed", cost_usd=attempt.cost_usd)

    def _attempt(
        self,
        call: ShadowCall,
        policy: PolicyDocument,
        tier: GuardedTier,
        ending: Answer | TierError,
        latency_ms: float = 0.0,
    ) -> Attempt:
        answered = ending if isinstance(ending, Answer) else None
        used = ending.usage or Usage(0, 0, exact=False)
        terms = next(one for one in policy.tiers if one.name == call.tier)
        return Attempt(
            decision_id=call.decision_id,
            at=call.at,
            index=_index(call),
            tier=call.tier,
            model=answered.model if answered else tier.tier.model,
            purpose="shadow",
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            tokens_exact=used.exact,
            cost_usd=terms.cost_usd(used.prompt_tokens, used.completion_tokens),
            latency_ms=answered.latency_ms if answered else latency_ms,
            ttft_ms=answered.ttft_ms if answered else None,
            tokens_per_s=answered.tokens_per_s if answered else None,
            finish=answered.finish if answered else "error",
            error=None if answered else str(ending),
        )

    def _scores(self, call: ShadowCall, policy: PolicyDocument, answer: Answer) -> list[Record]:
        """The judge's score, where it is the judged tier's answer."""
        judge = JUDGES.get(policy.judge.judge)
        if call.tier != policy.local.name or judge is None or answer.logprobs is None:
            return []
        raw = judge(answer.logprobs)
        segment = policy.segments[0].name
        context = consider(policy, extract(call.messages), segment, (call.tier,))
        return [
            JudgeScore(
                decision_id=call.decision_id,
                at=call.at,
                index=_index(call),
                purpose="shadow",
                judge=policy.judge.judge,
                tier=call.tier,
                raw=raw,
                bin=policy.judge.bin(raw),
                calibrated=calibrated(context, raw),
            )
        ]


def _text(call: ShadowCall, answer: Answer) -> Text:
    return Text(
        decision_id=call.decision_id, at=call.at, key=f"answer:{call.tier}", body=answer.text
    )


def _index(call: ShadowCall) -> int:
    """Seconds since the decision: tries are further apart, and each of them costs."""
    return max(0, int((datetime.now(UTC) - call.at).total_seconds()))
