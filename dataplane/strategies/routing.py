"""Routing: choose a tier before answering; no answer is judged (docs/methods.md, section 1)."""

from collections.abc import Sequence

from dataplane.contract import rule
from dataplane.strategies.base import REPLY, Context, Preference, State, call


def route(context: Context, state: State, lambda_: float) -> Preference:
    """A dear tier iff p lies below the routing threshold: the one worth most."""
    if state.answered:
        return Preference(REPLY, {REPLY: 0.0}, None)
    values = rule.value(context.beliefs, context.costs, lambda_)
    compared = first_calls(context, float(values.local), values.dear)
    return Preference(preferred(compared), compared, threshold(context, lambda_))


def straight(context: Context, lambda_: float) -> Preference:
    """The dear tier that is worth most."""
    values = rule.value(context.beliefs, context.costs, lambda_).dear
    compared = dict(zip(map(call, context.dear), map(float, values), strict=True))
    return Preference(preferred(compared), compared, None)


def first_calls(context: Context, local: float, dear: Sequence[rule.Array]) -> dict[str, float]:
    """The value of calling each eligible tier."""
    worth = dict(zip(context.dear, map(float, dear), strict=True)) | {context.local: local}
    return {call(tier): worth[tier] for tier in context.tiers}


def preferred(values: dict[str, float]) -> str:
    """The action of the highest value; the first named wins a tie."""
    return max(values, key=values.__getitem__)


def threshold(context: Context, lambda_: float) -> float:
    """The routing threshold at this query's costs, on the scale of p_hat."""
    at = rule.indifference(context.beliefs, context.costs, lambda_)
    calibration = context.segment.calibration
    return float(rule.expit((rule.logit(at) - calibration.intercept) / calibration.slope))
