from typing import Any

import pytest

from controlplane.learn.goals import Estimate, Goal, Match, Reach, Spend, goal
from controlplane.learn.policy_family import Arm, PolicyFamily
from controlplane.learn.reason import reason, unreachable
from dataplane.contract.terms import CostCeiling, QualityTarget
from tests.unit.dataplane.policies import segment


def known(**figures: float) -> Estimate:
    usual = {"quality": 0.9, "quality_se": 0.01, "cost": 0.5, "support": 100.0, "usd": 5e-4}
    shares = {"share": 0.95, "share_se": 0.005, "share_support": 100.0}
    return Estimate(**(usual | shares | figures))


CURVE = {  # from always-cloud to thrift
    "dear": known(quality=0.96, cost=1.0, usd=1e-3, share=1.0, share_se=0.0),
    "middle": known(quality=0.93, cost=0.6, usd=6e-4, share=0.97),
    "thrifty": known(quality=0.85, cost=0.2, usd=2e-4, share=0.885),
}


def pulled(wanted: Goal, curve: dict[str, Estimate] = CURVE) -> Any:
    family = PolicyFamily(wanted, support=40)
    for arm, estimate in curve.items():
        family.update(arm, estimate)
    return family.pull(list(curve))


@pytest.mark.parametrize(
    ("wanted", "arm"),
    [
        (Reach(0.9), "middle"),
        (Reach(0.9, kappa=4.0), "dear"),
        (Reach(0.8), "thrifty"),
        (Reach(0.99), "dear"),
        (Match(0.96), "middle"),
        (Match(0.96, kappa=3.0), "dear"),
        (Match(0.8), "thrifty"),
        (Match(1.2), "dear"),
        (Spend(7e-4), "middle"),
        (Spend(1.0), "dear"),
        (Spend(1e-5), "thrifty"),
    ],
)
def test_each_goal_pulls_its_arm(wanted: Goal, arm: str) -> None:
    assert pulled(wanted) == arm


def test_a_share_is_known_only_where_always_cloud_is() -> None:
    unpaired = {arm: known(share_support=10.0) for arm in CURVE}
    assert pulled(Match(0.5), unpaired) == "always_cloud"
    assert pulled(Reach(0.5), unpaired) in CURVE


def test_an_objective_becomes_a_goal() -> None:
    share = QualityTarget(target_quality=0.97, reference="always_cloud")
    assert goal(QualityTarget(target_quality=0.9), 0.5) == Reach(0.9, 0.5)
    assert goal(share, 0.5) == Match(0.97, 0.5)
    assert goal(CostCeiling(ceiling_usd_per_query=0.01), 0.5) == Spend(0.01)


@pytest.mark.parametrize(
    ("wanted", "says", "hopeless"),
    [
        (Reach(0.8), "the cheapest that reaches 0.800 by 7 labels", False),
        (Reach(0.91), "target 0.910 not known to be reached yet, serving the best", False),
        (Reach(0.95), "target 0.950 unreachable, serving the best", True),
        (Match(0.9), "the cheapest that reaches 90.0% of always-cloud's quality by 7", False),
        (Match(1.0), "100.0% of always-cloud's quality unreachable: 95.0% is, serving", True),
        (Spend(0.01), "the best within 0.01 USD a query by 7 labels", False),
        (Spend(1e-4), "ceiling of 0.0001 USD a query unreachable: the cheapest", True),
    ],
)
def test_a_reason_says_plainly_what_is_out_of_reach(
    wanted: Goal, says: str, hopeless: bool
) -> None:
    arm = Arm("cascade_route", 0.3)
    family = PolicyFamily(wanted)
    family.update(arm.name, known())
    said = reason(segment(), arm, arm, family, labels=7)
    assert says in said
    assert unreachable(said) is hopeless


def test_a_step_names_where_it_leads() -> None:
    aim, arm = Arm("route", 0.4), Arm("route", 0.3)
    family = PolicyFamily(Reach(0.8))
    for each in (aim, arm):
        family.update(each.name, known())
    said = reason(segment(), aim, arm, family, labels=7)
    assert ", a step towards lambda=0.4, the cheapest that reaches 0.800" in said


def test_without_labels_nothing_is_claimed() -> None:
    arm = Arm("route", 0.4)
    family = PolicyFamily(Reach(0.99))
    family.update(arm.name, known(support=3.0))
    said = reason(segment(), arm, arm, family, labels=3)
    assert said.endswith("no arm is identified yet (3 labels)")
    assert not unreachable(said)
