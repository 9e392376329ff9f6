"""River's bandits as baselines: what they learn, and what of River's faults they are spared."""

import json
import math
import random
from typing import Any, get_args

import numpy as np
import pytest
from river import bandit, proba

from controlplane.evaluate.replay import Delay, Replay
from controlplane.learn.baselines import ARMS, LAMBDAS, WAITING, Baseline, Earned, LinUCB, chosen
from controlplane.learn.learner import Learner
from controlplane.learn.policy_family import Arm
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.learn.traffic import Columns
from controlplane.observations import Labelled
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.sections import REFUSED, Bandit
from dataplane.contract.terms import StepLimits
from tests.traffic import query
from tests.unit.controlplane.learn.rows import EASY, rows
from tests.unit.controlplane.learn.test_learner import TIERS, start
from tests.unit.dataplane.policies import policy

RAW: tuple[Bandit, ...] = ("ucb", "thompson", "epsilon_greedy", "linucb")
TRAFFIC = Columns(np.full((9, 2), 0.6), np.full(9, 40.0), np.full(9, np.nan), np.zeros(9, np.intp))
UNIT_USD = 5e-4
BEST = ARMS[-1]


def live(version: int, arm: Arm, **fields: Any) -> PolicyDocument:
    """The live document with this arm, refitted: its parent is the version that serves."""
    segment = {"mode": arm.mode, "lambda_": arm.lambda_, "trust": "open"}
    return policy(segment=segment, version=version + 1, parent=version, **fields)


def label(number: int, version: int, quality: float, cost_usd: float) -> Labelled:
    seen = query(number, policy_version=version, cost_usd=cost_usd)
    return Labelled(seen, {"local": quality}, 0.1, 0.0)


def served(baseline: Baseline, pulls: range, labels: int = 8) -> list[Arm]:
    """Pull after pull, each arm served and labelled: one is right and cheap, the others neither."""
    arm, pulled = ARMS[0], []
    for version in pulls:
        rng = random.Random(version)
        right, cost = (0.95, 0.2) if arm == BEST else (0.6, 0.8)
        for number in range(labels):
            quality = float(rng.random() < right)
            baseline.learn(label(version * labels + number, version, quality, cost * UNIT_USD), 0.6)
        arm = baseline.pull(live(version, arm), TRAFFIC, may_judge=True)
        pulled.append(arm)
    return pulled


def test_there_are_36_arms_of_three_modes() -> None:
    assert len(set(ARMS.names)) == 36
    assert {arm.mode for arm in ARMS} == {"route", "cascade", "cascade_route"}


@pytest.mark.parametrize("name", RAW)
def test_it_tries_every_arm_and_finds_the_obviously_better_one(name: Bandit) -> None:
    pulled = served(Baseline(name), range(1, 240))
    assert {ARMS[0], *pulled} == set(ARMS)
    last = pulled[-100:]
    assert max(ARMS, key=last.count) == BEST
    assert last.count(BEST) > 40


@pytest.mark.parametrize("name", RAW)
def test_a_restored_one_pulls_on_as_if_nothing_had_happened(name: Bandit) -> None:
    one = Baseline(name)
    served(one, range(1, 60))
    other = Baseline(name)
    other.restore(json.loads(json.dumps(one.state())))
    assert other.state() == one.state()
    assert served(one, range(60, 120)) == served(other, range(60, 120))
    assert other.state() == one.state()


@pytest.mark.parametrize("name", RAW)
def test_the_state_is_bounded(name: Bandit) -> None:
    baseline = Baseline(name)
    served(baseline, range(1, 340), labels=1)
    for number in range(WAITING + 10):
        baseline.learn(label(number, 10**6, 1.0, UNIT_USD), 0.5)
    assert len(baseline.waiting) == WAITING
    assert len(json.dumps(baseline.state())) < 200_000


def test_another_bandits_state_is_not_taken_over() -> None:
    ucb = Baseline("ucb")
    served(ucb, range(1, 50))
    thompson = Baseline("thompson")
    fresh = thompson.state()
    thompson.restore(ucb.state())
    assert thompson.state() == fresh


def test_a_label_is_credited_to_the_arm_of_the_version_that_served_it() -> None:
    baseline = Baseline("ucb")
    baseline.pull(live(1, ARMS[3]), TRAFFIC, may_judge=True)
    baseline.pull(live(2, ARMS[4]), TRAFFIC, may_judge=True)
    baseline.learn(label(1, 1, 1.0, UNIT_USD), 0.5)  # late
    baseline.learn(label(2, 3, 1.0, UNIT_USD), 0.5)  # of a version that it has not seen live yet
    baseline.learn(Labelled(query(3, policy_version=2), {"cloud": 1.0}, 0.1, 0.1), 0.5)  # a shadow
    baseline.pull(live(2, ARMS[4]), TRAFFIC, may_judge=True)
    assert baseline.policy._counts == {ARMS[3].name: 1}
    baseline.pull(live(3, ARMS[5]), TRAFFIC, may_judge=True)
    assert baseline.policy._counts == {ARMS[3].name: 1, ARMS[5].name: 1}
    assert not baseline.waiting


def test_cost_weighs_more_while_quality_is_in_excess() -> None:
    high, low = Baseline("ucb"), Baseline("ucb")
    for number in range(40):
        high.learn(label(number, 1, 1.0, UNIT_USD), 0.5)
        low.learn(label(number, 1, 0.0, UNIT_USD), 0.5)
    for baseline in (high, low):
        baseline.pull(live(1, ARMS[3]), TRAFFIC, may_judge=True)
    assert LAMBDAS[-1] >= high.price > Baseline("ucb").price > low.price >= LAMBDAS[0]


def test_a_price_that_moved_weighs_old_costs_too() -> None:
    earned = Earned()
    for _ in range(10):
        earned.update(1.0, 0.5)
    earned.per_usd = 0.2
    cheap = earned.get()
    earned.per_usd = 1.0
    assert cheap == pytest.approx(0.9)
    assert earned.get() == pytest.approx(0.5)


def test_a_sample_is_of_the_mean_and_not_of_a_reward() -> None:
    earned, distribution, rng = Earned(seed=1), proba.Gaussian(seed=1), random.Random(1)
    for _ in range(400):
        right = float(rng.random() < 0.8)
        earned.update(right, 0.0)
        distribution.update(right)
    spread = np.std([earned.sample() for _ in range(2000)])
    assert spread == pytest.approx(0.4 / math.sqrt(400), rel=0.4)
    assert np.std([distribution.sample() for _ in range(2000)]) > 10 * spread


def test_ucb_gives_the_lesser_known_of_two_equal_arms_its_bonus() -> None:
    """Over a distribution River's gives none, and stays with the first it met."""
    ours = bandit.UCB(delta=0.4, reward_obj=Earned(), seed=1)
    theirs = bandit.UCB(delta=0.4, reward_obj=proba.Gaussian(), seed=1)
    for count, arm in ((400, "well"), (4, "little")):
        for number in range(count):
            ours.update(arm, float(number % 2), 0.0)
            theirs.update(arm, float(number % 2 if arm == "well" else 0))
    assert ours.pull(["well", "little"]) == "little"
    assert theirs.pull(["well", "little"]) == "well"


def test_linucb_is_surer_of_the_arm_that_it_knows() -> None:
    """River's own bound holds the noise of a reward: it is as wide after 400 labels as after 4."""
    ours, theirs = LinUCB(seed=0), bandit.LinUCBDisjoint(beta=1 / 0.16, seed=0)
    context = {"one": 1.0, "p_hat": 0.5}
    for count, arm in ((4, "little"), (400, "well")):
        for number in range(count):
            ours.update(arm, context, float(number % 2), 0.0)
            theirs.update(arm, context, float(number % 2))

    def widths(model: bandit.LinUCBDisjoint) -> list[float]:
        return [
            model._bayes_lin_regs[arm].predict_one(context, with_dist=True).sigma
            for arm in ("little", "well")
        ]

    little, well = widths(theirs)
    assert little / well < 1.2
    gains = [
        ours._bound(arm, context) - ours._bayes_lin_regs[arm].predict_one(context)
        for arm in ("little", "well")
    ]
    assert gains[0] / gains[1] > 5


def test_until_the_judge_is_known_only_routing_is_pulled() -> None:
    baseline = Baseline("thompson")
    pulled = {
        baseline.pull(live(version, ARMS[0]), TRAFFIC, may_judge=False).mode
        for version in range(1, 30)
    }
    assert pulled == {"route"}


def test_a_pull_keeps_to_the_step_limits() -> None:
    baseline, arm = Baseline("ucb"), Arm("route", LAMBDAS[6])
    limits = StepLimits(log_lambda=0.5)
    for version in range(1, 40):
        pulled = baseline.pull(live(version, arm, step_limits=limits), TRAFFIC, may_judge=True)
        assert abs(math.log(pulled.lambda_ / arm.lambda_)) <= 0.5


def test_the_policy_family_is_no_baseline_and_every_name_is_known_or_refused() -> None:
    assert chosen("policy_family") is None
    assert set(get_args(Bandit)) == {"policy_family", *RAW}
    assert not set(REFUSED) & set(get_args(Bandit))


def test_what_is_refused_fails_as_it_is_said_to() -> None:
    exp3 = bandit.Exp3(gamma=0.1, seed=1)
    with pytest.raises(KeyError):
        exp3.update("arm", 1.0)
    beta = proba.Beta(1, 1)
    beta.update(0.3)
    assert beta.alpha == 2


@pytest.mark.parametrize("name", ["ucb", "linucb"])
def test_a_learner_serves_by_it_and_is_restored_to_the_bit(name: Bandit) -> None:
    settings = LearnerSettings(
        bandit=name, min_decisions=40, cold=DrawRates(0.5, 0.5), steady=DrawRates(0.3, 0.1)
    )
    traffic = rows(7, 1500, EASY)
    straight, broken = (
        Replay(start(), Learner(TIERS, settings), seed=1, delay=Delay(5, 50)) for _ in range(2)
    )
    list(straight.run(traffic))
    for each in broken.run(traffic):
        if each.at % 100 == 99 and broken.learner is not None:
            broken.learner = Learner.from_json(broken.learner.to_json(), settings)
    assert broken.policies == straight.policies
    tried = {Arm(p.segments[0].mode, p.segments[0].lambda_) for p in straight.policies[1:]}
    assert len(tried) > 10
    assert tried <= set(ARMS)
    assert f"pulled by {name}" in straight.live.reason
    assert {p.kind for p in straight.policies[1:]} == {"retune"}
