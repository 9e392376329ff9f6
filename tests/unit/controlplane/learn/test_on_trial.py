"""The judge on trial, in process: SIMULATED traffic through the cycle, the gate and the learner.

Shadows and audits are frequent, so that a gate is decided within some hundred queries.
"""

from dataclasses import replace
from functools import cache

import pytest

from controlplane.evaluate.replay import Delay, Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.learn.settings import DrawRates, LearnerSettings
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, SegmentDraws, ShadowTerms, TrustTerms
from tests.unit.controlplane.learn.rows import EASY, rows
from tests.unit.controlplane.learn.test_learner import TIERS, start

JUDGE_USD = 1.5e-5  # .03 of a cloud call
STEADY = DrawRates(0.3, 0.3)
SETTINGS = LearnerSettings(cold=DrawRates(0.4, 0.4), steady=STEADY, contexts=300)
GOOD, USELESS = 2.4, 0.0  # by how many standard deviations right answers score higher


def traffic(seed: int, count: int, separation: float) -> list[Row]:
    return [
        replace(row, judge_usd=JUDGE_USD) for row in rows(seed, count, EASY, separation=separation)
    ]


def first(**terms: str) -> PolicyDocument:
    live = start(trust="closed")
    judge = live.judge.replaced(cost_usd=JUDGE_USD)
    trust = TrustTerms.model_validate(terms)
    return live.replaced(judge=judge, trust=trust).rederived()


def serve(
    live: PolicyDocument, queries: list[Row], settings: LearnerSettings = SETTINGS
) -> tuple[Replay, list[Served]]:
    learner = Learner(TIERS, settings)
    replay = Replay(live, learner, seed=1, delay=Delay(5, 50), gated=True)
    return replay, list(replay.run(queries))


@cache
def good() -> tuple[Replay, list[Served]]:
    return serve(first(), traffic(11, 1400, GOOD))


def test_a_good_judge_earns_its_say_and_decides_from_then_on() -> None:
    replay, served = good()
    assert [each.standing for each in replay.news] == ["earned", "open"]
    opening = next(each for each in replay.policies if each.segments[0].trust == "open")
    assert opening.kind == "proposal"
    for each in served:
        judged = "judge" in each.actions
        assert not judged or each.policy_version >= opening.version
    assert any("judge" in each.actions for each in served)
    assert replay.live.segments[0].mode == "cascade_route"


def test_the_rates_of_the_trial_end_with_it() -> None:
    policies = good()[0].policies
    on_trial = [each for each in policies if each.segments[0].trust == "closed"]
    assert all(each.shadow.rate >= each.shadow.undecided for each in on_trial)
    assert (policies[-1].audit.rate, policies[-1].shadow.rate) == (STEADY.audit, STEADY.shadow)


def test_a_useless_judge_decides_nothing_though_its_scores_are_learned() -> None:
    replay, served = serve(first(), traffic(12, 900, USELESS))
    assert replay.news == []
    assert {each.actions for each in served} <= {("call:cloud",), ("call:local",)}
    assert {each.segments[0].mode for each in replay.policies} == {"always_cloud", "route"}
    assert replay.live.segments[0].trial_lambda is not None
    assert replay.learner is not None
    assert replay.learner.bins is not None
    assert replay.trust is not None
    (trial,) = replay.trust.trials.values()
    assert trial.queries > 100


def test_while_closed_the_cloud_may_have_it_all() -> None:
    replay, served = serve(first(while_closed="always_cloud"), traffic(13, 500, GOOD))
    before = [
        each
        for each in served
        if replay.policies[each.policy_version - 1].segments[0].trust == "closed"
    ]
    assert {each.actions for each in before} == {("call:cloud",)}
    assert replay.live.segments[0].trial_lambda or replay.live.segments[0].trust == "open"


@pytest.fixture(scope="module")
def broken() -> tuple[Replay, list[Served]]:
    """A judge that was trusted says nothing any more; nobody retunes."""
    live = good()[0].live.replaced(audit=AuditTerms(rate=0.6), shadow=ShadowTerms(rate=0.6))
    asleep = replace(SETTINGS, min_decisions=10**9)
    return serve(live, traffic(14, 1500, USELESS), asleep)


def test_a_judge_that_breaks_is_not_asked_any_more(broken: tuple[Replay, list[Served]]) -> None:
    replay, served = broken
    (news,) = replay.news
    assert news.standing == "closed"
    assert news.evidence is not None
    assert news.evidence.mean_difference < 0
    closing = replay.live
    assert (closing.segments[0].mode, closing.segments[0].trust) == ("always_cloud", "closed")
    after = [each for each in served if each.policy_version == closing.version]
    assert after
    assert {each.actions for each in after} == {("call:cloud",)}


def test_while_undecided_audits_are_as_frequent_as_shadows_and_within_the_budget() -> None:
    live = first()
    limited = SegmentDraws(uniform=0.15, most=0.15)
    audit = live.audit.replaced(rate=0.4, segments=(limited,))
    live = live.replaced(audit=audit, shadow=ShadowTerms(rate=0.15, undecided=0.35))
    rare = replace(SETTINGS, cold=DrawRates(0.1, 0.1), steady=DrawRates(0.05, 0.02))
    replay, _ = serve(live, traffic(15, 700, GOOD), rare)
    on_trial = [each for each in replay.policies[1:] if each.segments[0].trust == "closed"]
    assert on_trial
    for each in on_trial:
        assert each.audit.rate == each.shadow.undecided == 0.35
        assert each.audit.mean("default") == each.shadow.rate == 0.15
