"""Why an arm was pulled, in words: what a policy says of itself."""

from controlplane.learn.policy_family import Arm, PolicyFamily
from dataplane.contract.terms import SegmentPolicy

SURE = 2.0  # standard errors of the best arm below the target before it is called unreachable


def reason(
    was: SegmentPolicy, aim: Arm, arm: Arm, family: PolicyFamily, labels: int, opens: bool
) -> str:
    """``aim`` was pulled, ``arm`` is the step towards it; ``opens``: the judge is now trusted."""
    known, best = family.estimate(arm.name), family.estimate(aim.name)
    if known is None or best is None or best.support < family.support:
        return f"{aim.name}: no arm is identified yet ({labels} labels)"
    said = (
        f"{arm.name}: quality {known.quality:.3f} +- {known.quality_se:.3f} at {known.cost:.3f} "
        "of a cloud call"
    )
    if not family.reaches(aim.name):
        hopeless = best.quality + SURE * best.quality_se < family.target
        short = "unreachable" if hopeless else "not known to be reached yet"
        return f"{said}; target {family.target:.3f} {short}, serving the best"
    step = "" if arm == aim else f"a step towards lambda={aim.lambda_:.4g}, "
    gate = "; the judge may decide from now on" if opens else ""
    return (
        f"{said}, {step}the cheapest that reaches {family.target:.3f} by {labels} labels "
        f"(was {was.mode} lambda={was.lambda_:.4g}){gate}"
    )
