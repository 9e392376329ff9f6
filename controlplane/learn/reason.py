"""Why an arm was pulled, in words: what a policy says of itself."""

from river.bandit.base import ArmID

from controlplane.learn.policy_family import PolicyFamily
from dataplane.contract.terms import SegmentPolicy

SURE = 2.0  # standard errors of the best arm below the target before it is called unreachable


def reason(
    was: SegmentPolicy, pulled: ArmID, family: PolicyFamily, labels: int, opens: bool
) -> str:
    """``opens``: the judge is trusted from now on."""
    known = family.estimate(pulled)
    if known is None or known.support < family.support:
        return f"always_cloud: no arm is identified yet ({labels} labels)"
    said = (
        f"{pulled}: quality {known.quality:.3f} +- {known.quality_se:.3f} at {known.cost:.3f} "
        "of a cloud call"
    )
    if not family.reaches(pulled):
        hopeless = known.quality + SURE * known.quality_se < family.target
        short = "unreachable" if hopeless else "not known to be reached yet"
        return f"{said}; target {family.target:.3f} {short}, serving the best"
    gate = "; the judge may decide from now on" if opens else ""
    return (
        f"{said}, the cheapest that reaches {family.target:.3f} by {labels} labels "
        f"(was {was.mode} lambda={was.lambda_:.4g}){gate}"
    )
