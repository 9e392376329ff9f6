"""Canaries: an answer that says nothing, given to the judge for a drawn query. It must not pass.

A judge that reads words can be had by such an answer ("Thought process:"; arXiv 2507.08794). One
that reads its own tier's log-probabilities cannot be shown an answer that the tier did not give.
Nothing is recorded of a canary: it is no query's score.
"""

from typing import Annotated, Any, Literal

from pydantic import UUID7, AwareDatetime, BaseModel, ConfigDict, Field

from dataplane.contract.records import millisecond
from dataplane.errors import invalid
from dataplane.features import extract
from dataplane.gateway import Policies
from dataplane.judges import JUDGES, READERS
from dataplane.strategies import JUDGE, consider


class CanaryCall(BaseModel):
    """Which drawn query, and what the judge is to be shown as its answer."""

    model_config = ConfigDict(extra="forbid")

    decision_id: UUID7
    at: AwareDatetime
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    answer: Annotated[str, Field(max_length=1000)]


class CanaryEnding(BaseModel):
    """Whether the judge would have kept that answer; ``reason`` where it cannot be asked."""

    judge: str
    status: Literal["judged", "not_applicable"]
    accepted: bool = False
    reason: str | None = None


def judge(call: CanaryCall, policies: Policies) -> CanaryEnding:
    """The verdict of the judge in force for this query; raises ``ApiError`` 400."""
    if call.at != millisecond(call.decision_id):
        raise invalid("at is not the decision's", "at")
    policy = policies.policy_for(str(call.decision_id))
    name = policy.judge.judge
    read = READERS.get(name)
    if read is None:
        return CanaryEnding(judge=name, status="not_applicable", reason=_reason(name))
    names = [tier.name for tier in policy.tiers]
    segment = policy.segments[0]
    context = consider(policy, extract(call.messages), segment.name, (*names, JUDGE))
    cutoff = policy.cutoff(context.beliefs, context.costs, segment.lambda_)
    raw = policy.judge.clip(read(call.messages, call.answer))
    return CanaryEnding(judge=name, status="judged", accepted=raw >= cutoff)


def _reason(name: str) -> str:
    if name in JUDGES:
        return "it reads the log-probabilities of its tier's own tokens: a canary has none"
    return f"no judge {name} here"
