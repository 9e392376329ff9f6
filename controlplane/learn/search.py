"""The search for the arm that serves a goal best: near the live one first, else the whole curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.learn.estimate import Basis, estimate
from controlplane.learn.goals import Goal
from controlplane.learn.policy_family import Arm, Arms, PolicyFamily, coarse
from dataplane.contract.terms import Mode, SegmentPolicy, StepLimits

FINE = 21  # arms around the first pull: near lambda 1 quality can fall steeply
NEAR = 1.5  # how far from the live lambda is looked at first, as a factor


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Over arms of one draft. ``support``: effective labels before an arm is known."""

    basis: Basis
    goal: Goal
    support: float

    def aim(self, mode: Mode) -> tuple[Arm, PolicyFamily]:
        """The arm of a mode, or always-cloud, that serves the goal best within the step limits.

        And the bandit that pulled it. Where the best of the arms near the live one meets the goal,
        and has both its neighbours among them, it is not looked for elsewhere.
        """
        draft = self.basis.draft
        was = draft.segments[0]
        reach = within(draft.step_limits, was, coarse(len(draft.tiers)))
        if was.mode == mode:
            low, high = max(was.lambda_ / NEAR, reach[0]), min(was.lambda_ * NEAR, reach[-1])
            near = Arms.of(mode, np.geomspace(low, high, FINE).tolist())
            family = self.informed(near)
            aim = near.named(family.pull(near.names))
            known = family.identified(aim.name)
            if aim in near[2:-1] and known and self.goal.met(known):
                return aim, family
        wide = Arms.of(mode, reach)
        first = wide.named(self.informed(wide).pull(wide.names))
        fine = wide.around(first, FINE)
        family = self.informed(fine)
        return fine.named(family.pull(fine.names)), family

    def informed(self, arms: Arms) -> PolicyFamily:
        """A bandit whose arms know their doubly robust estimates."""
        family = PolicyFamily(self.goal, self.support)
        self.inform(family, arms)
        return family

    def inform(self, family: PolicyFamily, arms: Arms) -> None:
        """Let a bandit know of these arms."""
        for name, known in zip(arms.names, estimate(self.basis, arms), strict=True):
            family.update(name, known)


def within(limits: StepLimits, live: SegmentPolicy, lambdas: Sequence[float]) -> tuple[float, ...]:
    """The lambdas that one retune may reach; from a fixed tier it may go anywhere.

    Never beyond the given ones, ascending, unless the live one already is.
    """
    if live.mode.startswith("always"):
        return tuple(lambdas)
    factor = math.exp(limits.log_lambda)
    low, high = max(live.lambda_ / factor, lambdas[0]), min(live.lambda_ * factor, lambdas[-1])
    if low >= high:
        return (live.lambda_,)
    return (low, *(each for each in lambdas if low < each < high), high)
