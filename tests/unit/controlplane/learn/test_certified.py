"""The whole loop where a certificate is asked for, in memory. Scores and labels are SIMULATED."""

import numpy as np
import pytest

from controlplane.audit.certificates import Certifier
from controlplane.evaluate.replay import Delay, Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.learn.settings import DrawRates, LearnerSettings
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import (
    AuditTerms,
    LinearEstimator,
    QualityTarget,
    ShadowTerms,
    WrongAcceptances,
)
from tests.unit.controlplane.learn.rows import EASY, HARD, rows
from tests.unit.dataplane.policies import policy

LIMIT = 0.05
ASKED = QualityTarget(target_quality=0.8, wrong_acceptances=WrongAcceptances(limit=LIMIT))
FREE = QualityTarget(target_quality=0.8)
SETTINGS = LearnerSettings(cold=DrawRates(0.5, 0.5), steady=DrawRates(0.3, 0.3))
COUNT = 3000


def run(
    objective: QualityTarget, traffic: list[Row], trust: str = "open"
) -> tuple[Replay, list[Served]]:
    start = policy(
        segment={"mode": "always_cloud", "lambda_": 0.0, "trust": trust},
        estimators=(LinearEstimator(), LinearEstimator()),
        objective=objective,
        audit=AuditTerms(rate=0.5),
        shadow=ShadowTerms(rate=0.5),
    )
    learner, late = Learner(("local", "cloud"), SETTINGS), Delay(5, 50)
    gated = trust == "closed"
    replay = Replay(start, learner, seed=1, delay=late, certifier=Certifier(), gated=gated)
    return replay, list(replay.run(traffic))


@pytest.fixture(scope="module")
def traffic() -> list[Row]:
    """A harder mix from two thirds on."""
    return rows(101, COUNT, EASY, EASY, HARD)


@pytest.fixture(scope="module")
def certified(traffic: list[Row]) -> tuple[Replay, list[Served]]:
    return run(ASKED, traffic)


def lost(traffic: list[Row], served: list[Served]) -> float:
    """The share of all queries whose wrong local answer was served in place of a right one."""
    return float(
        np.mean(
            [
                each.actions[-1] != "call:cloud" and traffic[each.at].worth == (0.0, 1.0)
                for each in served
            ]
        )
    )


def live(replay: Replay, served: Served) -> PolicyDocument:
    return {each.version: each for each in replay.policies}[served.policy_version]


def test_nothing_is_accepted_before_a_certificate(certified: tuple[Replay, list[Served]]) -> None:
    replay, served = certified
    before = [each for each in served if live(replay, each).segments[0].certificate is None]
    assert len(before) >= 600
    assert {each.actions for each in before} == {("call:cloud",)}


def test_nothing_below_it_is_accepted_and_little_is_lost(
    traffic: list[Row], certified: tuple[Replay, list[Served]]
) -> None:
    replay, served = certified
    for each in served:
        held, score = live(replay, each).segments[0].certificate, traffic[each.at].score
        if each.actions[-1] != "call:cloud":
            assert held is not None
            assert score is not None
            assert score >= held.score
            assert "judge" in each.actions
    under = [
        each
        for each in served[: 2 * COUNT // 3]
        if live(replay, each).segments[0].certificate is not None
    ]
    assert len(under) >= 500
    assert lost(traffic, under) <= LIMIT
    assert np.mean([each.actions[-1] != "call:cloud" for each in under]) > 0.3
    free = run(FREE, traffic[: 2 * COUNT // 3])[1]
    assert lost(traffic, free[COUNT // 3 :]) > LIMIT


def test_an_alarm_takes_it_out_of_force(certified: tuple[Replay, list[Served]]) -> None:
    replay, served = certified
    kinds = [kind for kind, _ in replay.events]
    assert kinds.count("certificate_void") == 1
    at = next(
        place
        for place, each in enumerate(replay.policies)
        if "void" in each.reason and each.segments[0].mode == "always_cloud"
    )
    assert replay.policies[at].kind == "proposal"
    after = [each for each in served if each.policy_version == replay.policies[at].version]
    assert after
    assert {each.actions for each in after} == {("call:cloud",)}
    assert replay.policies[at - 1].segments[0].certificate is not None


@pytest.fixture(scope="module")
def on_trial(traffic: list[Row]) -> tuple[Replay, list[Served]]:
    """A certificate is asked for, and the judge is on trial."""
    return run(ASKED, traffic[: 2 * COUNT // 3], trust="closed")


def test_a_judge_on_trial_and_a_certificate_are_both_obeyed(
    on_trial: tuple[Replay, list[Served]],
) -> None:
    replay, served = on_trial
    segments = {each.version: each.segments[0] for each in replay.policies}
    for each in served:
        by = segments[each.policy_version]
        if each.actions[-1] != "call:cloud":
            assert by.trust == "open"
            assert by.certificate is not None
    both = [each for each in replay.policies if each.segments[0].certificate is not None]
    tried = [each for each in both if each.segments[0].trust == "closed"]
    assert tried
    assert {each.segments[0].mode for each in tried} == {"always_cloud"}
    assert any(each.segments[0].trial_lambda for each in tried)
    free = (each.segments[0] for each in replay.policies if each not in both)
    assert all(each.trial_lambda is None for each in free)


def test_a_good_judge_earns_its_say_under_the_certificate(
    on_trial: tuple[Replay, list[Served]],
) -> None:
    replay, served = on_trial
    assert [each.standing for each in replay.news] == ["earned", "open"]
    opening = next(each for each in replay.policies if each.segments[0].trust == "open")
    assert (opening.kind, opening.segments[0].mode) == ("proposal", "cascade_route")
    assert opening.segments[0].certificate is not None
    after = [each for each in served if each.policy_version >= opening.version]
    assert any(each.actions == ("call:local", "judge") for each in after)
