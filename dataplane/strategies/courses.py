"""Whole courses of many queries at once, where serving is certain: for replay and scoring.

What ``choose`` does step by step for one query, this does for all, by the same arithmetic: a test
holds the two to the same decisions. Arm weights, failing tiers and single eligible tiers are the
gateway's affair; here both tiers answer, and a judge is at hand where there is a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask
from dataplane.contract.terms import Mode, SegmentPolicy
from dataplane.features import Features


@dataclass(frozen=True, slots=True)
class Courses:
    """Per query (N,): straight to the cloud; local and judged; of those, escalated."""

    straight: Mask
    judged: Mask
    escalated: Mask

    @property
    def to_cloud(self) -> Mask:
        """(N,) Whether the cloud's answer is served."""
        return self.straight | self.escalated


@dataclass(frozen=True, slots=True)
class Queries:
    """What decides the courses of queries: ``p_hat`` (N, tiers), the others (N,).

    ``score`` is NaN where no judge can be.
    """

    p_hat: Array
    chars: Array
    score: Array

    @classmethod
    def of(cls, policy: PolicyDocument, features: Sequence[Features], score: Array) -> "Queries":
        """Queries with these features, as this policy's estimators see them."""
        p_hat = np.array([policy.p_hat(each) for each in features]).reshape(-1, len(policy.tiers))
        return cls(p_hat, np.array([each.chars for each in features], dtype=np.float64), score)


def courses(policy: PolicyDocument, segment: SegmentPolicy, queries: Queries) -> Courses:
    """The courses of these queries.

    Raises ``ValueError`` for a segment with arm weights: its courses are drawn, not certain.
    """
    if segment.arms:
        raise ValueError(f"segment {segment.name} has arm weights: its courses are not certain")
    beliefs = policy.beliefs(segment, queries.p_hat)
    costs = policy.costs(queries.chars)
    scored = ~np.isnan(queries.score)
    values = rule.value(beliefs, costs, segment.lambda_)
    straight, judged = first_moves(values, segment.mode, may_judge=scored)
    judge = policy.judge
    cutoff = rule.cutoff(
        beliefs, costs, segment.lambda_, judge.bins.raw, judge.lowest, judge.highest
    )
    below = judge.clipped(queries.score) < cutoff  # False where there is no score
    return Courses(straight, judged, judged & below)


def first_moves(
    values: rule.Values, mode: Mode, may_judge: Mask | bool = True
) -> tuple[Mask, Mask]:
    """Straight to the cloud; local, and judged. Ties fall as in the strategies."""
    shape = np.shape(values.cloud)
    never, always = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    if mode == "always_cloud":
        return always, never
    if mode == "always_local":
        return never, never
    if mode == "cascade":
        return never, always & may_judge
    if mode == "route":
        return values.cloud > values.local, never
    best_local = np.where(may_judge, np.maximum(values.local, values.judged), values.local)
    straight = values.cloud > best_local
    return straight, ~straight & may_judge & (values.judged >= values.local)
