"""Whole courses of many queries at once, where serving is certain: for replay and scoring.

What ``choose`` does step by step for one query, this does for all, by the same arithmetic: a test
holds the two to the same decisions. Arm weights, failing tiers and single eligible tiers are the
gateway's affair; here all tiers answer, and a judge is at hand where there is a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask, Places
from dataplane.contract.terms import Mode, SegmentPolicy
from dataplane.features import Features


@dataclass(frozen=True, slots=True)
class Courses:
    """Per query (N,): straight to a dear tier; local and judged; of those, escalated.

    ``dear`` is the place of the dear tier that is called, among dear tiers, where one is.
    """

    straight: Mask
    judged: Mask
    escalated: Mask
    dear: Places

    @property
    def to_dear(self) -> Mask:
        """(N,) Whether a dear tier's answer is served."""
        return self.straight | self.escalated

    @property
    def served(self) -> Places:
        """(N,) The place among all tiers of the one whose answer is served."""
        return np.where(self.to_dear, 1 + self.dear, 0)


@dataclass(frozen=True, slots=True)
class Moves:
    """First moves: straight to a dear tier, and to which; local, and judged."""

    straight: Mask
    dear: Places
    judged: Mask


@dataclass(frozen=True, slots=True)
class Queries:
    """What decides the courses of queries: ``p_hat`` (N, tiers), the others (N,).

    ``score`` is NaN where no judge can be.
    """

    p_hat: Array
    chars: Array
    score: Array
    category: Places

    @classmethod
    def of(cls, policy: PolicyDocument, features: Sequence[Features], score: Array) -> "Queries":
        """Queries with these features, as this policy's estimators see them."""
        p_hat = np.array([policy.p_hat(each) for each in features]).reshape(-1, len(policy.tiers))
        chars = np.array([each.chars for each in features], dtype=np.float64)
        category = np.array([each.category for each in features], dtype=np.intp)
        return cls(p_hat, chars, score, category)


def courses(policy: PolicyDocument, segment: SegmentPolicy, queries: Queries) -> Courses:
    """The courses of these queries.

    Raises ``ValueError`` for a segment with arm weights: its courses are drawn, not certain.
    """
    if segment.arms:
        raise ValueError(f"segment {segment.name} has arm weights: its courses are not certain")
    beliefs = policy.beliefs(segment, queries.p_hat)
    costs = policy.costs(queries.chars, queries.category)
    scored = ~np.isnan(queries.score)
    first = first_moves(rule.value(beliefs, costs, segment.lambda_), segment.mode, scored)
    judge = policy.judge
    cutoff = rule.cutoff(
        beliefs, costs, segment.lambda_, judge.bins.raw, judge.lowest, judge.highest
    )
    below = judge.clipped(queries.score) < cutoff  # False where there is no score
    after = _best_after(policy, segment, queries.score, beliefs, costs)
    dear = np.where(first.straight, first.dear, after)
    return Courses(first.straight, first.judged, first.judged & below, dear)


def _best_after(
    policy: PolicyDocument,
    segment: SegmentPolicy,
    score: Array,
    beliefs: rule.Beliefs,
    costs: rule.Costs,
) -> Places | int:
    """The dear tier that is worth most after each score (N,): the only one, where there is one."""
    if len(costs.dear) == 1:
        return 0
    weights = policy.judge.weights(score)
    escalated = [
        np.asarray((weights * quality).sum(axis=-1) - segment.lambda_ * cost)
        for quality, cost in zip(rule.escalated_quality(beliefs), costs.dear, strict=True)
    ]
    return rule.Best.of(escalated).at


def first_moves(values: rule.Values, mode: Mode, may_judge: Mask | bool = True) -> Moves:
    """What a mode does first. Ties fall as in the strategies.

    Where a floor bars the local answer unjudged, and nothing can judge it, a dear tier is called.
    """
    best = rule.Best.of(values.dear)
    shape = np.shape(best.value)
    never, always = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    if mode == "always_cloud":
        return Moves(always, np.full(shape, len(values.dear) - 1), never)
    if mode == "always_local":
        return Moves(never, best.at, never)
    if mode == "cascade":
        barred = np.isneginf(values.local) & ~np.asarray(may_judge)
        return Moves(never | barred, best.at, always & may_judge)
    if mode == "route":
        return Moves(best.value > values.local, best.at, never)
    best_local = np.where(may_judge, np.maximum(values.local, values.judged), values.local)
    straight = best.value > best_local
    judged = ~straight & may_judge & (values.judged >= values.local)
    return Moves(straight, best.at, judged)
