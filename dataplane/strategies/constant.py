"""Always the same tier: the ends of the optimal curve, and the safe start."""

from dataplane.strategies.base import REPLY, Context, Preference, State, call


def always_cloud(context: Context, state: State, lambda_: float) -> Preference:  # noqa: ARG001 - the seam's shape
    """The dearest tier answers everything."""
    return _always(context.tiers[-1], state)


def always_local(context: Context, state: State, lambda_: float) -> Preference:  # noqa: ARG001 - the seam's shape
    """The cheapest tier answers everything."""
    return _always(context.tiers[0], state)


def _always(tier: str, state: State) -> Preference:
    action = REPLY if state.answered else call(tier)
    return Preference(action, {action: 0.0}, None)
