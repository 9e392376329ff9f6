"""Cascading: the cheap tier answers, the judge scores, a low score escalates."""

from dataplane.strategies.base import JUDGE, REPLY, Context, Preference, State, call


def cascade(context: Context, state: State, lambda_: float) -> Preference:
    """Judge every local answer; escalate iff its score lies below the cutoff."""
    stage = context.stage(state)
    if stage == "open":
        return Preference(call(context.local), {call(context.local): 0.0}, None)
    if stage == "answered":
        return Preference(JUDGE, {JUDGE: 0.0}, None)
    if stage == "closed":
        return Preference(REPLY, {REPLY: 0.0}, None)
    return escalate_or_reply(context, state, lambda_)


def escalate_or_reply(context: Context, state: State, lambda_: float) -> Preference:
    """The judge has spoken: compare its raw score with this query's cutoff."""
    assert state.score is not None
    score = context.policy.judge.clip(state.score)
    cutoff = context.policy.cutoff(context.beliefs, context.costs, lambda_)
    p, g, b = after(context, score)
    escalate = call(context.cloud)
    values = {REPLY: p, escalate: p * (1 - b) + (1 - p) * g - lambda_ * context.costs.cloud}
    return Preference(escalate if score < cutoff else REPLY, values, cutoff)


def after(context: Context, score: float) -> tuple[float, float, float]:
    """P(local right), g and b of the bin that the score falls in."""
    k = context.policy.judge.bin(score)
    beliefs = context.beliefs
    return float(beliefs.p_after[k]), float(beliefs.g[k]), float(beliefs.b[k])
