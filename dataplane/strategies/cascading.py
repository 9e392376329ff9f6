"""Cascading: the local tier answers, the judge scores, a low score escalates."""

import numpy as np

from dataplane.contract import rule
from dataplane.strategies.base import JUDGE, REPLY, Context, Preference, State, call
from dataplane.strategies.routing import preferred, route


def cascade(context: Context, state: State, lambda_: float) -> Preference:
    """Judge every local answer; escalate iff its score lies below the cutoff."""
    stage = context.stage(state)
    if stage == "open" and context.local not in context.eligible:
        return route(context, state, lambda_)
    if stage == "open":
        return Preference(call(context.local), {call(context.local): 0.0}, None)
    if stage == "answered":
        return Preference(JUDGE, {JUDGE: 0.0}, None)
    if stage == "closed":
        return Preference(REPLY, {REPLY: 0.0}, None)
    return escalate_or_reply(context, state, lambda_)


def escalate_or_reply(context: Context, state: State, lambda_: float) -> Preference:
    """The judge has spoken: compare its raw score with this query's cutoff.

    Below it the dear tier is called that is worth most at this score.
    """
    assert state.score is not None
    score = context.policy.judge.clip(state.score)
    cutoff = context.policy.cutoff(context.beliefs, context.costs, lambda_)
    quality = rule.escalated_quality(context.beliefs)
    escalated = {
        call(tier): at_score(context, each, score) - lambda_ * float(cost)
        for tier, each, cost in zip(context.dear, quality, context.costs.dear, strict=True)
    }
    action = preferred(escalated) if score < cutoff else REPLY
    return Preference(action, {REPLY: calibrated(context, score)} | escalated, cutoff)


def calibrated(context: Context, score: float) -> float:
    """P(local right | x, score)."""
    return at_score(context, context.beliefs.p_after, score)


def at_score(context: Context, per_bin: rule.Array, score: float) -> float:
    """A quantity known at the bins' raw points, interpolated as the cutoff is."""
    return float(np.interp(score, context.policy.judge.bins.raw, per_bin))
