"""Cascade routing: choose anew after each answer (arXiv 2410.10347, section 4)."""

from dataplane.contract import rule
from dataplane.strategies.base import JUDGE, REPLY, Context, Preference, State
from dataplane.strategies.cascading import escalate_or_reply
from dataplane.strategies.routing import first_calls, preferred, route, threshold


def cascade_route(context: Context, state: State, lambda_: float) -> Preference:
    """The best of answering locally, judging that, and going straight to a dear tier."""
    if not context.may_judge:
        return route(context, state, lambda_)
    stage = context.stage(state)
    if stage == "closed":
        return Preference(REPLY, {REPLY: 0.0}, None)
    if stage == "scored":
        return escalate_or_reply(context, state, lambda_)
    values = rule.value(context.beliefs, context.costs, lambda_)
    unjudged, judged = float(values.local), float(values.judged)
    if stage == "answered":
        compared = {JUDGE: judged}
        if context.beliefs.floor is None:
            compared[REPLY] = unjudged
        return Preference(preferred(compared), compared, None)
    compared = first_calls(context, max(unjudged, judged), values.dear)
    return Preference(preferred(compared), compared, threshold(context, lambda_))
