"""Why an arm was pulled, in words: what a policy says of itself."""

from controlplane.learn.goals import UNREACHABLE
from controlplane.learn.policy_family import Arm, PolicyFamily
from dataplane.contract.terms import SegmentPolicy


def reason(was: SegmentPolicy, aim: Arm, arm: Arm, family: PolicyFamily, labels: int) -> str:
    """``aim`` was pulled, ``arm`` is the step towards it."""
    known, best, goal = family.estimate(arm.name), family.identified(aim.name), family.goal
    if known is None or best is None:
        return f"{aim.name}: no arm is identified yet ({labels} labels)"
    said = (
        f"{arm.name}: quality {known.quality:.3f} +- {known.quality_se:.3f} at {known.cost:.3f} "
        "of a cloud call"
    )
    if not goal.met(best):
        return f"{said}; {goal.shortfall(best)}"
    step = "" if arm == aim else f"a step towards lambda={aim.lambda_:.4g}, "
    return (
        f"{said}, {step}{goal.words} by {labels} labels (was {was.mode} lambda={was.lambda_:.4g})"
    )


def unreachable(said: str) -> bool:
    """Whether a policy's reason says that its objective is out of reach."""
    return UNREACHABLE in said
