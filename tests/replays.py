"""Logged steps, computed again."""

from collections.abc import Iterable

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import Decision, Step
from dataplane.features import Features
from dataplane.strategies import State, choose, consider
from dataplane.strategies.eligibility import remaining


def replayed(document: PolicyDocument, decision: Decision, steps: Iterable[Step]) -> list[Step]:
    """The steps as the strategies give them today."""
    features = Features.from_compact(decision.features)
    context = consider(document, features, decision.segment, decision.eligible)
    actions: list[str] = []
    again = []
    for step in steps:
        state = State(step.state.answered, step.state.score)
        left = remaining(decision.eligible, actions, state)
        choice = choose(context.within(left), state, decision.seed)
        actions.append(choice.action)
        numbers = {
            "pmf": choice.pmf,
            "action": choice.action,
            "propensity": choice.propensity,
            "threshold": choice.threshold,
            "values": choice.values,
        }
        again.append(step.model_copy(update=numbers))
    return again
