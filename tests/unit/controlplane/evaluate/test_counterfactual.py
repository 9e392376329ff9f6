"""A policy on logged queries: what it would have done, and what is not known of that."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.evaluate.counterfactual import Course, follow
from controlplane.evaluate.logged import Logged
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Arm, AuditTerms, Mode, ShadowTerms
from dataplane.strategies import JUDGE
from tests.logged import USED, Truth, estimator, serve, serve_all, truths
from tests.unit.dataplane.policies import pool

MODES: list[Mode] = ["route", "cascade", "cascade_route", "always_cloud", "always_local"]
RIGHT = Truth({"local": 1.0, "cloud": 1.0}, -0.02)
WRONG = Truth({"local": 0.0, "cloud": 1.0}, -2.9)


def document(mode: Mode = "cascade_route", lambda_: float = 0.3, **fields: Any) -> PolicyDocument:
    """Some of its queries go straight to the cloud, and some are judged."""
    tiers = fields.pop("tiers", 2)
    told = (estimator(0.4, 4.0, "local"), *(estimator(1.1, 2.0, f"{n}") for n in range(tiers - 1)))
    usual = {"audit": AuditTerms(rate=0.4), "shadow": ShadowTerms(rate=0.2), "estimators": told}
    varied = {"mode": mode, "lambda_": lambda_} | fields.pop("segment", {})
    return pool(tiers, segment=varied, **usual | fields)


def course(policy: PolicyDocument, each: Logged) -> Course:
    (found,) = follow(policy, [each])
    return found


@given(
    st.integers(0, 10**6),
    st.sampled_from(MODES),
    st.floats(0.05, 1.2),
    st.sampled_from([2, 3]),
    st.sampled_from([(), ("local",), ("cloud",), (JUDGE,)]),
    st.booleans(),
)
def test_of_its_own_decisions_it_says_what_it_did(
    seed: int, mode: Mode, lambda_: float, tiers: int, barred: tuple[str, ...], drawn: bool
) -> None:
    arms = (
        Arm(mode=mode, lambda_=lambda_, weight=0.6),
        Arm(mode="cascade", lambda_=0.2, weight=0.4),
    )
    policy = document(mode, lambda_, tiers=tiers, segment={"arms": arms} if drawn else {})
    names = [tier.name for tier in policy.tiers]
    log = [
        serve(policy, seed + number, truth, barred=barred if number % 3 else (), seed=seed)
        for number, truth in enumerate(truths(seed, 12, names))
    ]
    for each, found in zip(log, follow(policy, log), strict=True):
        assert found.tier == each.seen.served
        assert found.usd == each.seen.cost_usd
        assert found.judged == (each.served_score is not None)
        assert found.settled


@given(st.integers(0, 10**6), st.sampled_from(MODES), st.floats(0.05, 1.2), st.sampled_from(MODES))
def test_all_at_once_and_step_by_step_are_one(
    seed: int, mode: Mode, lambda_: float, serving: Mode
) -> None:
    """Barring a tier that there is not changes nothing but the way it is computed."""
    policy, live = document(mode, lambda_), document(serving)
    log = [
        serve(live, seed + number, truth, seed=seed) for number, truth in enumerate(truths(seed, 8))
    ]
    alone = [replace(each, barred=frozenset({"nobody"})) for each in log]
    assert follow(policy, log) == follow(policy, alone)


def straight(policy: PolicyDocument, *, shadowed: bool) -> Logged:
    """One that always-cloud served, and whose local answer a shadow brought to light, or did not.

    The wanted kind is the first to come by.
    """
    live = document("always_cloud")
    found = (serve(live, number, RIGHT) for number in range(200))
    return next(
        each
        for each in found
        if each.shadowed == shadowed and course(policy, each).judged and each.drawn
    )


def test_without_a_score_it_is_not_known_what_a_judge_would_have_led_to() -> None:
    policy = document("cascade")
    found = course(policy, straight(policy, shadowed=False))
    assert (found.tier, found.judged, found.settled) == (None, True, False)


def test_the_score_of_a_shadow_tells_the_tier_and_nothing_that_it_may_not_bear_on() -> None:
    policy = document("cascade")
    each = straight(policy, shadowed=True)
    found = course(policy, each)
    unseen = course(policy, replace(each, query=replace(each.query, observation=_blind(each))))
    assert found.tier == "local"
    assert unseen.tier is None
    assert (found.right, found.usd) == (unseen.right, unseen.usd)


def _blind(each: Logged) -> Any:
    return replace(each.seen, score=None)


def test_where_all_scores_lead_to_the_same_answer_none_is_needed() -> None:
    """Quality is priced so low that nothing escalates, though everything is judged."""
    policy = document("cascade", 5.0)
    each = serve(document("always_cloud"), 1, RIGHT)
    found = course(policy, each)
    assert (found.tier, found.judged, found.settled) == ("local", True, True)
    beliefs = policy.beliefs(policy.segments[0], policy.p_hat(each.seen.features))
    assert found.right == pytest.approx(float(beliefs.p))


def test_over_all_scores_it_is_worth_what_the_rule_says() -> None:
    """At lambda 1 the value of judging is quality less cost in units: by the rule, and by hand."""
    policy = document("cascade", 1.0)
    each = straight(policy, shadowed=False)
    features = each.seen.features
    beliefs = policy.beliefs(policy.segments[0], policy.p_hat(features))
    escalated = beliefs.p_after < rule.escalated_quality(beliefs)[0] - float(
        policy.costs(features.chars).dear[0]
    )
    kept = np.where(escalated, rule.escalated_quality(beliefs)[0], beliefs.p_after)
    found = course(policy, each)
    assert found.right == pytest.approx(float(beliefs.bin_probability @ kept))
    bills = policy.bills(features.chars)
    cloud = policy.cloud.cost_usd(*USED["cloud"])  # it was called, and is known to have cost that
    up = float(beliefs.bin_probability @ escalated)
    assert found.usd == pytest.approx(float(bills.local) + policy.judge.cost_usd + up * cloud)


def test_a_served_score_tells_how_probably_the_answer_is_right() -> None:
    policy = document("cascade")
    kept, escalated = (serve(policy, 3, truth) for truth in (RIGHT, WRONG))
    beliefs = policy.beliefs(policy.segments[0], policy.p_hat(kept.seen.features))
    high, low = (policy.judge.bin(truth.score) for truth in (RIGHT, WRONG))
    assert course(policy, kept).right == pytest.approx(float(beliefs.p_after[high]))
    mended = float(rule.escalated_quality(beliefs)[0][low])
    assert course(policy, escalated).right == pytest.approx(mended)


def test_what_was_barred_then_is_barred_now() -> None:
    live, cloud = document("always_local"), document("always_cloud")
    assert course(cloud, serve(live, 1, RIGHT)).tier == "cloud"
    assert course(cloud, serve(live, 1, RIGHT, barred=("cloud",))).tier == "local"
    unjudged = course(document("cascade"), serve(live, 1, RIGHT, barred=(JUDGE,)))
    assert (unjudged.judged, unjudged.settled) == (False, True)


def test_where_no_tier_of_it_could_answer_nothing_is_known() -> None:
    live = document("always_cloud", tiers=3)
    each = serve(live, 1, Truth({"dear1": 1.0, **RIGHT.right}, -0.1), barred=("local", "cloud"))
    assert each.seen.served == "dear1"
    assert course(document("cascade"), each).tier is None


def test_the_score_of_another_judge_says_nothing() -> None:
    live = document("cascade")
    other = document("cascade", judge=live.judge.replaced(judge="verifier"))
    each = serve(live, 1, RIGHT)
    assert course(live, each).tier == "local"
    assert course(other, each).tier is None


def test_each_query_is_answered_in_its_order() -> None:
    policy, live = document("route"), document("cascade")
    log = serve_all(live, truths(4, 30))
    assert follow(policy, log) == [course(policy, each) for each in log]
    assert len({each.tier for each in follow(policy, log)}) == 2
    assert follow(policy, []) == []
