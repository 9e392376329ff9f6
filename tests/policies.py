"""Policies and records' keeper for tests of what serves queries."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from dataplane.contract.policy import PolicyDocument, issue
from dataplane.contract.publication import Rival
from dataplane.contract.records import Record
from dataplane.contract.terms import (
    AuditTerms,
    JudgeTable,
    LinearEstimator,
    Mode,
    Platt,
    QualityTarget,
    SegmentPolicy,
    ShadowTerms,
    TierTerms,
    Typical,
)

R = TypeVar("R", bound=Record)

LOCAL = TierTerms(name="local", input_usd_per_mtok=0.02, output_usd_per_mtok=0.04)
CLOUD = TierTerms(name="cloud", input_usd_per_mtok=2.5, output_usd_per_mtok=10.0)
JUDGE = JudgeTable(
    judge="logprob",
    lowest=-4.0,
    highest=0.0,
    edges=(-1.5, -0.8, -0.3),
    raw=(-2.0, -1.0, -0.5, -0.1),
    z=(-1.15, -0.32, 0.32, 1.15),
    f1=(0.05, 0.15, 0.3, 0.5),
    f0=(0.5, 0.3, 0.15, 0.05),
)
SURE, DOUBTFUL = -0.05, -3.0  # log-probabilities that are kept, and that escalate


def policy(mode: Mode = "cascade", *, lambda_: float = 0.2, **fields: Any) -> PolicyDocument:
    """A policy over `local` and `cloud`; ``fields`` replace those of the document."""
    segment = SegmentPolicy(
        mode=mode,
        lambda_=lambda_,
        routing_threshold=0.0,
        judge_cutoff=0.0,
        trust="open",
        dear_if_local_wrong=(Platt(intercept=2.0),),
        dear_wrong_if_local_right=(Platt(intercept=-3.0),),
        typical=Typical(p_hat=(0.5, 0.5)),
    )
    document: dict[str, Any] = {
        "schema_": 3,
        "version": 1,
        "parent": None,
        "kind": "retune",
        "author": "operator",
        "reason": "written for a test",
        "issued_at": datetime(2026, 1, 1, tzinfo=UTC),
        "objective": QualityTarget(target_quality=0.9),
        "cost_unit_usd": 0.001,
        "tiers": (LOCAL, CLOUD),
        "estimators": (LinearEstimator(), LinearEstimator()),
        "judge": JUDGE,
        "segments": (segment,),
        "audit": AuditTerms(),
        "shadow": ShadowTerms(),
    }
    return issue(**document | fields)


class FixedPolicies:
    """One policy for every conversation, and what is compared with it."""

    def __init__(self, document: PolicyDocument, rivals: Sequence[Rival] = ()) -> None:
        self.document = document
        self.rivals = rivals

    def policy_for(self, conversation: str | None) -> PolicyDocument:
        """Always the same."""
        return self.document

    def rivals_of(self, policy: PolicyDocument) -> Sequence[Rival]:
        """Always the same."""
        return self.rivals


class KeptRecords:
    """Records in memory, by the frame in which they came; a real spool's stand-in."""

    def __init__(self) -> None:
        self.frames: list[tuple[Record, ...]] = []

    def record(self, *records: Record) -> bool:
        """Keep a frame."""
        if records:
            self.frames.append(records)
        return True

    async def durable(self) -> None:
        """Memory is as safe as it gets."""

    def of(self, kind: type[R]) -> Sequence[R]:
        """The records of one kind, in order."""
        return [one for frame in self.frames for one in frame if isinstance(one, kind)]
