"""How much a query's label is worth to the decisions: what an adaptive audit draws by.

A label tells most where little would change what is decided: near the judge's cutoff, or, where no
score is known, near the routing threshold. It tells much, too, where the judge moved the belief far
from what p_hat had said: one of the two is wrong of such queries. Nothing else is looked at, and
never the answer of a dear tier, so that models of the label given query and score stay unbiased.
"""

import numpy as np

from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import Mode, SegmentPolicy
from dataplane.strategies.courses import Queries


def interest(
    policy: PolicyDocument, segment: SegmentPolicy, queries: Queries, width: float
) -> Array:
    """(N,) in [0, 1]: 1 at a threshold, 0 from ``width`` of quality on, unless the judge and p_hat
    differ by more.
    """
    beliefs = policy.beliefs(segment, queries.p_hat)
    costs = policy.costs(queries.chars, queries.category)
    scored = ~np.isnan(queries.score)
    weights = policy.judge.weights(queries.score)
    escalated = rule.best_escalation(beliefs, costs, segment.lambda_)
    kept = (weights * (beliefs.p_after - escalated)).sum(axis=-1)
    first = _first_margin(rule.value(beliefs, costs, segment.lambda_, escalated), segment.mode)
    margin = np.where(scored, kept, first)
    moved = np.where(scored, np.abs((weights * beliefs.p_after).sum(axis=-1) - beliefs.p), 0.0)
    return np.asarray(np.maximum(np.clip(1 - np.abs(margin) / width, 0.0, 1.0), moved))


def _first_margin(values: rule.Values, mode: Mode) -> Array | float:
    """By how much answering locally is worth more than going straight to the best dear tier."""
    dear = rule.Best.of(values.dear).value
    if mode == "route":
        return np.asarray(values.local - dear)
    if mode == "cascade_route":
        return np.asarray(np.maximum(values.local, values.judged) - dear)
    return np.inf
