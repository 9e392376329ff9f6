"""One probability mass function over next actions: sampled, logged and scored from here alone."""

from dataplane.contract.terms import Arm, Mode
from dataplane.strategies.base import REPLY, Choice, Context, Preference, State, Strategy, call
from dataplane.strategies.cascade_routing import cascade_route
from dataplane.strategies.cascading import cascade
from dataplane.strategies.constant import always_cloud, always_local
from dataplane.strategies.routing import route, straight
from dataplane.strategies.seeded import uniform

STRATEGIES: dict[Mode, Strategy] = {
    "route": route,
    "cascade": cascade,
    "cascade_route": cascade_route,
    "always_cloud": always_cloud,
    "always_local": always_local,
}


def choose(context: Context, state: State, seed: int) -> Choice:
    """The next action of a query.

    With arm weights in the policy, the seed draws one arm for the whole query; the pmf is that of
    the arms which would have come to this state. Without them the choice is certain.

    Raises ``ValueError`` if no tier is eligible.
    """
    forced = _forced(context, state)
    if forced is not None:
        return Choice({forced: 1.0}, forced, None, {forced: 0.0})
    arms = context.segment.arms
    if not arms:
        only = prefer(context, state, context.segment.mode, context.segment.lambda_)
        return Choice({only.action: 1.0}, only.action, only.threshold, only.values)
    return _mixture(context, state, arms, seed)


def prefer(context: Context, state: State, mode: Mode, lambda_: float) -> Preference:
    """What one arm does in this state; where its answer may not be kept, it goes on."""
    accepts = mode != "always_cloud" and state.answered in ((), (context.local,))
    if context.barred and accepts:
        return straight(context, lambda_)
    return STRATEGIES[mode](context, state, lambda_)


def _forced(context: Context, state: State) -> str | None:
    """Where eligibility leaves no choice: a single tier to call, or nothing more to do."""
    if state.answered:
        return None if state.answered == (context.local,) else REPLY
    if not context.tiers:
        raise ValueError("no tier is eligible")
    return call(context.tiers[0]) if len(context.tiers) == 1 else None


def _mixture(context: Context, state: State, arms: tuple[Arm, ...], seed: int) -> Choice:
    drawn = _drawn(arms, uniform(seed, "arm"))
    alive = [arm for arm in arms if arm == drawn or _comes_to(context, state, arm)]
    wanted = [prefer(context, state, arm.mode, arm.lambda_) for arm in alive]
    total = sum(arm.weight for arm in alive)
    pmf: dict[str, float] = {}
    for arm, preference in zip(alive, wanted, strict=True):
        pmf[preference.action] = pmf.get(preference.action, 0.0) + arm.weight / total
    mine = prefer(context, state, drawn.mode, drawn.lambda_)
    return Choice(pmf, mine.action, mine.threshold, mine.values)


def _drawn(arms: tuple[Arm, ...], u: float) -> Arm:
    reached = 0.0
    for arm in arms:
        reached += arm.weight
        if u < reached:
            return arm
    return arms[-1]


def _comes_to(context: Context, state: State, arm: Arm) -> bool:
    """Whether the arm would have taken every step that led to this state."""
    if not state.answered:
        return True
    first = prefer(context, State(), arm.mode, arm.lambda_).action
    if first != call(state.answered[0]):
        return False
    answered = State(state.answered[:1])
    return state.score is None or prefer(context, answered, arm.mode, arm.lambda_).action == "judge"
