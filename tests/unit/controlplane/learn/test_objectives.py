"""Objectives that change at run time, and the limits within which the learner pursues them."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from controlplane.evaluate.replay import EPOCH, Delay, Replay
from controlplane.learn.learner import Learner
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import CostCeiling, QualityTarget, StepLimits
from tests.unit.controlplane.learn.rows import EASY, rows
from tests.unit.controlplane.learn.test_learner import SETTINGS, TIERS, start

ANY_TIME = replace(SETTINGS, min_decisions=0, min_news=0)
TARGET = QualityTarget(target_quality=0.9)
CEILING_USD = 1e-4


@pytest.fixture(scope="module")
def learned() -> tuple[PolicyDocument, str]:
    """A live policy, and the state of a learner that no label was held out from."""
    first, settings = start(), replace(SETTINGS, held_out=0.0)
    first = first.replaced(audit=first.audit.replaced(held_out=0.0))
    replay = Replay(first, Learner(TIERS, settings), seed=1, delay=Delay(5, 50))
    for _ in replay.run(rows(1, 2500, EASY)):
        pass
    assert replay.learner is not None
    return replay.live, replay.learner.to_json()


def told(live: PolicyDocument, objective: QualityTarget | CostCeiling) -> PolicyDocument:
    """The operator's document: another objective, the same arm."""
    said = {"version": live.version + 1, "parent": live.version, "author": "operator"}
    return live.model_copy(
        update=said | {"reason": "as asked", "objective": objective}
    ).rederived()  # fmt: skip


def follow(learner: Learner, live: PolicyDocument) -> PolicyDocument:
    proposed = learner.propose(live, EPOCH)
    assert proposed is not None
    return proposed


def test_from_a_target_to_a_ceiling_and_back_no_label_is_needed(
    learned: tuple[PolicyDocument, str],
) -> None:
    live, state = learned
    ceiling = CostCeiling(ceiling_usd_per_query=CEILING_USD)
    switched = Learner.from_json(state, ANY_TIME)
    labels = switched.labelled
    thrifty = follow(switched, told(live, ceiling))
    assert thrifty.objective == ceiling
    assert f"the best within 0.0001 USD a query by {labels} labels" in thrifty.reason
    back = follow(switched, told(thrifty, TARGET))
    never = follow(Learner.from_json(state, ANY_TIME), told(thrifty, TARGET))
    assert back.segments == never.segments
    assert thrifty.segments[0].lambda_ > back.segments[0].lambda_
    assert switched.labelled == labels


def test_a_share_of_always_cloud_is_pursued_by_its_own_error(
    learned: tuple[PolicyDocument, str],
) -> None:
    live, state = learned
    arms = []
    for share in (0.9, 0.98):
        objective = QualityTarget(target_quality=share, reference="always_cloud")
        found = follow(Learner.from_json(state, ANY_TIME), told(live, objective))
        assert f"the cheapest that reaches {share:.1%} of always-cloud's quality" in found.reason
        arms.append(found.segments[0])
    assert arms[1].routing_threshold > arms[0].routing_threshold


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        (QualityTarget(target_quality=0.999), "target 0.999 unreachable"),
        (CostCeiling(ceiling_usd_per_query=1e-6), "ceiling of 1e-06 USD a query unreachable"),
    ],
)
def test_out_of_reach_is_published_even_where_nothing_else_changes(
    learned: tuple[PolicyDocument, str], objective: QualityTarget | CostCeiling, says: str
) -> None:
    live, state = learned
    learner = Learner.from_json(state, ANY_TIME)
    first = follow(learner, told(live, objective))
    assert says in first.reason
    assert learner.propose(first, EPOCH) is None
    silent = first.model_copy(update={"reason": "as asked"})
    assert says in follow(learner, silent).reason


def test_where_waiting_is_dear_the_unit_of_cost_is_mostly_the_wait(
    learned: tuple[PolicyDocument, str],
) -> None:
    live, state = learned
    local, cloud = live.tiers
    slow = live.model_copy(update={"tiers": (local, cloud.replaced(latency_s=2.0))})
    hasty = told(slow, TARGET.replaced(latency_usd_per_s=2e-3))
    found = follow(Learner.from_json(state, ANY_TIME), hasty)
    assert found.cost_unit_usd > 5 * live.cost_unit_usd
    typical = found.segments[0].typical.prompt_chars
    assert found.costs(typical).dear[0] == pytest.approx(1.0)


def test_a_retune_stays_within_the_step_limits() -> None:
    limits = StepLimits(log_lambda=0.1)
    settings = replace(SETTINGS, step=1.0)
    replay = Replay(start().replaced(step_limits=limits), Learner(TIERS, settings), seed=1)
    for _ in replay.run(rows(2, 1500, EASY)):
        pass
    arms = [policy.segments[0] for policy in replay.policies]
    steps = [
        abs(math.log(after.lambda_ / before.lambda_))
        for before, after in pairwise(arms)
        if before.mode == after.mode == "cascade_route"
    ]
    assert len(steps) >= 3
    assert max(steps) <= 0.1 + 1e-9
    assert max(steps) > 0.05


def test_too_few_labels_leave_everything_to_the_cloud() -> None:
    settings = replace(SETTINGS, support=1e6)
    replay = Replay(start(), Learner(TIERS, settings), seed=1)
    served = list(replay.run(rows(2, 800, EASY)))
    assert {each.actions for each in served} == {("call:cloud",)}


@pytest.mark.parametrize("decisions", [150, 400])
def test_retunes_are_at_least_so_many_decisions_apart(decisions: int) -> None:
    settings = replace(SETTINGS, min_decisions=decisions)
    replay = Replay(start(), Learner(TIERS, settings), seed=1)
    for _ in replay.run(rows(2, 1500, EASY)):
        pass
    moments = [(policy.issued_at - EPOCH).total_seconds() for policy in replay.policies[1:]]
    assert len(moments) >= 2
    assert min(after - before for before, after in pairwise(moments)) >= decisions
