"""Rows that serving and shadowing write alike: one call of a tier, one grade of its answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from dataplane.contract.records import Attempt, JudgeScore
from dataplane.contract.terms import TierTerms
from dataplane.strategies import Context, calibrated
from dataplane.tiers.base import Answer, TierError, Usage

NOTHING = Usage(0, 0, exact=False)

Shown = Literal["serve", "shadow"]


@dataclass(frozen=True, slots=True)
class Call:
    """How one call of a tier ended, and what it used."""

    tier: str
    model: str
    usage: Usage
    finish: str
    latency_ms: float
    ttft_ms: float | None = None
    tokens_per_s: float | None = None
    error: str | None = None

    @classmethod
    def answered(cls, tier: str, answer: Answer) -> Self:
        """It gave its answer."""
        return cls(
            tier,
            answer.model,
            answer.usage,
            answer.finish,
            answer.latency_ms,
            answer.ttft_ms,
            answer.tokens_per_s,
        )

    @classmethod
    def failed(cls, tier: str, model: str, error: TierError, latency_ms: float) -> Self:
        """It gave none."""
        finish = "timeout" if error.kind == "timeout" else "error"
        return cls(tier, model, error.usage or NOTHING, finish, latency_ms, error=str(error))

    @classmethod
    def given_up(cls, tier: str, model: str, usage: Usage, latency_ms: float) -> Self:
        """Nobody waits for it any more."""
        return cls(tier, model, usage, "aborted", latency_ms, error="given up")

    def attempt(
        self, decision_id: UUID, at: datetime, terms: TierTerms, purpose: Shown, index: int
    ) -> Attempt:
        """Its row, charged by the policy's terms."""
        return Attempt(
            decision_id=decision_id,
            at=at,
            index=index,
            tier=self.tier,
            model=self.model,
            purpose=purpose,
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens,
            tokens_exact=self.usage.exact,
            cost_usd=terms.cost_usd(self.usage.prompt_tokens, self.usage.completion_tokens),
            latency_ms=self.latency_ms,
            ttft_ms=self.ttft_ms,
            tokens_per_s=self.tokens_per_s,
            finish=self.finish,
            error=self.error,
        )


def grade(
    decision_id: UUID, at: datetime, context: Context, raw: float, purpose: Shown, index: int
) -> JudgeScore:
    """The row of a raw score of the local answer, read through the policy's table."""
    judge = context.policy.judge
    return JudgeScore(
        decision_id=decision_id,
        at=at,
        index=index,
        purpose=purpose,
        judge=judge.judge,
        tier=context.local,
        raw=raw,
        bin=judge.bin(raw),
        calibrated=calibrated(context, raw),
    )
