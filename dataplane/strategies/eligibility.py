"""What is still to choose from in the course of a query: derived, so that a log replays it."""

from collections.abc import Collection, Sequence

from dataplane.strategies.base import CALL, JUDGE, State


def remaining(eligible: Collection[str], actions: Sequence[str], state: State) -> frozenset[str]:
    """Eligibility after `actions` have led to `state`: what was tried and bore nothing is out.

    A tier that was called and is not among the answered ones has failed; a judge that was asked
    and left no score could not judge.
    """
    asked = {action.removeprefix(CALL) for action in actions if action.startswith(CALL)}
    failed = asked.difference(state.answered)
    if JUDGE in actions and state.score is None:
        failed.add(JUDGE)
    return frozenset(eligible).difference(failed)
