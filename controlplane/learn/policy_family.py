"""The bandit: each arm is a (routing threshold, judge cutoff) pair on the optimal curve.

An arm's coordinate is lambda, its kind a mode; always-cloud stands at the dear end. Because every
arm's path over a query can be imagined by the rule, each observation informs all arms at once: the
reward of an arm is a doubly robust estimate, not the mean of what it earned itself.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from river import stats
from river.bandit.base import ArmID, Policy

from controlplane.learn.goals import Estimate, Goal
from controlplane.learn.imagine import ArmGrid
from dataplane.contract.terms import Mode, SegmentPolicy

COARSE = tuple(np.geomspace(0.02, 2.0, 24).tolist())
FAR = tuple(np.geomspace(0.02, 20.0, 36).tolist())


def coarse(tiers: int) -> tuple[float, ...]:
    """The lambdas among which arms of so many tiers are looked for first.

    Between a local tier and the cloud none turns above 2, where half a right answer is given up for
    a call. Further tiers may be a few hundredths of a call apart, and then the choice between them
    turns at many times that.
    """
    return COARSE if tiers == 2 else FAR


class Arm(NamedTuple):
    """A mode at a lambda."""

    mode: Mode
    lambda_: float

    @classmethod
    def of(cls, segment: SegmentPolicy) -> "Arm":
        """The one that a segment of a policy serves by."""
        return cls(segment.mode, segment.lambda_)

    @property
    def name(self) -> str:
        """What the bandit calls it."""
        fixed = self.mode.startswith("always")
        return self.mode if fixed else f"{self.mode} lambda={self.lambda_:.6g}"

    @property
    def judges(self) -> bool:
        """Whether no local answer is served that was not judged."""
        return self.mode in ("cascade", "cascade_route", "always_cloud")


ALWAYS_CLOUD = Arm("always_cloud", 0.0)
ALWAYS_LOCAL = Arm("always_local", 0.0)


class Arms(tuple[Arm, ...]):
    """Arms in order: always-cloud first, then one mode by rising lambda, where ``of`` made them."""

    __slots__ = ()

    @classmethod
    def of(cls, mode: Mode, lambdas: Iterable[float]) -> "Arms":
        """Always-cloud, and the mode at each lambda."""
        return cls((ALWAYS_CLOUD, *(Arm(mode, float(each)) for each in sorted(set(lambdas)))))

    @property
    def names(self) -> list[ArmID]:
        """What the bandit calls them."""
        return [arm.name for arm in self]

    @property
    def columns(self) -> ArmGrid:
        """Their modes and lambdas as columns."""
        return ArmGrid(tuple(arm.mode for arm in self), np.array([arm.lambda_ for arm in self]))

    def named(self, name: ArmID) -> Arm:
        """The arm of that name."""
        return self[self.names.index(name)]

    def around(self, arm: Arm, count: int) -> "Arms":
        """Always-cloud, and ``count`` arms between the two neighbours of this one."""
        at = self.index(arm)
        low, high = self[max(at - 1, 1)].lambda_, self[min(at + 1, len(self) - 1)].lambda_
        return Arms.of(self[-1].mode, np.geomspace(low, high, count).tolist())


class ArmReward(stats.base.Statistic[float]):
    """An arm's latest estimate; its value as a statistic is its quality."""

    def __init__(self) -> None:
        self.estimate: Estimate | None = None

    def update(self, estimate: Estimate) -> None:
        """Replace what was known: every estimate already carries the faded past."""
        self.estimate = estimate

    def get(self) -> float:
        """Estimated quality; -inf before the first estimate."""
        return self.estimate.quality if self.estimate else float("-inf")


class PolicyFamily(Policy):
    """Pulls, of the identified arms, the one that best serves a goal.

    An arm is identified once the goal has ``support`` effective labels of it; if none is,
    always-cloud is pulled.
    """

    def __init__(self, goal: Goal, support: float = 50.0) -> None:
        super().__init__(reward_obj=ArmReward())
        self.goal = goal
        self.support = support

    def update(self, arm_id: ArmID, *reward_args: Estimate, **reward_kwargs: Estimate) -> None:
        """Tell an arm its latest estimate."""
        super().update(arm_id, *reward_args, **reward_kwargs)  # type: ignore[no-untyped-call] # river leaves it unannotated

    def estimate(self, arm: ArmID) -> Estimate | None:
        """The latest estimate of an arm."""
        reward = self._rewards[arm]
        assert isinstance(reward, ArmReward)
        return reward.estimate

    def identified(self, arm: ArmID) -> Estimate | None:
        """The latest estimate of an arm, if enough labels stand behind it."""
        known = self.estimate(arm)
        return known if known and self.goal.support(known) >= self.support else None

    def _pull(self, arm_ids: list[ArmID]) -> ArmID:
        identified = {arm: known for arm in arm_ids if (known := self.identified(arm))}
        if not identified:
            return ALWAYS_CLOUD.name
        enough = {arm: known for arm, known in identified.items() if self.goal.met(known)}
        worth = self.goal.worth if enough else self.goal.consolation
        among = enough or identified
        return max(among, key=lambda arm: worth(among[arm]))
