"""Always the same tier: the ends of the optimal curve, and the safe start."""

from dataplane.strategies.base import REPLY, Context, Preference, State, call


def always_cloud(context: Context, state: State, lambda_: float) -> Preference:  # noqa: ARG001 - the seam's shape
    """The dear tier answers everything."""
    return _always(context.cloud, state)


def always_local(context: Context, state: State, lambda_: float) -> Preference:  # noqa: ARG001 - the seam's shape
    """The cheap tier answers everything."""
    return _always(context.local, state)


def _always(tier: str, state: State) -> Preference:
    action = REPLY if state.answered else call(tier)
    return Preference(action, {action: 0.0}, None)
