"""Routing: choose a tier before answering; no answer is judged (METHODS section 1, V_L and V_C)."""

from dataplane.contract import rule
from dataplane.strategies.base import REPLY, Context, Preference, State, call


def route(context: Context, state: State, lambda_: float) -> Preference:
    """The cloud iff p lies below the routing threshold."""
    if state.answered:
        return Preference(REPLY, {REPLY: 0.0}, None)
    values = rule.value(context.beliefs, context.costs, lambda_)
    local, cloud = call(context.local), call(context.cloud)
    compared = {local: float(values.local), cloud: float(values.cloud)}
    return Preference(preferred(compared), compared, threshold(context, lambda_))


def preferred(values: dict[str, float]) -> str:
    """The action of the highest value; the first named wins a tie."""
    return max(values, key=values.__getitem__)


def threshold(context: Context, lambda_: float) -> float:
    """The routing threshold at this query's costs, on the scale of p_hat."""
    at = rule.indifference(context.beliefs, context.costs, lambda_)
    calibration = context.segment.calibration
    return float(rule.expit((rule.logit(at) - calibration.intercept) / calibration.slope))
