from collections.abc import Sequence
from dataclasses import replace

import pytest

from controlplane.evaluate.replay import Delay, Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.learn.settings import DrawRates, LearnerSettings
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import (
    AuditTerms,
    LinearEstimator,
    Mode,
    Platt,
    QualityTarget,
    ShadowTerms,
)
from tests.unit.controlplane.evaluate.veils import decisions, permuted
from tests.unit.controlplane.learn.rows import EASY, HARD, rows
from tests.unit.dataplane.policies import policy

ALWAYS = DrawRates(1.0, 1.0)


def start(mode: Mode = "always_cloud", rates: DrawRates | None = None) -> PolicyDocument:
    drawn = rates or DrawRates(0.4, 0.3)
    return policy(
        segment={
            "mode": mode,
            "lambda_": 0.0,
            "trust": "open",
            "dear_if_local_wrong": (Platt(intercept=2.0),),
        },
        estimators=(LinearEstimator(), LinearEstimator()),
        objective=QualityTarget(target_quality=0.9),
        audit=AuditTerms(rate=drawn.audit),
        shadow=ShadowTerms(rate=drawn.shadow),
    )


def learned(traffic: Sequence[Row], mode: Mode) -> tuple[Replay, list[Served]]:
    settings = LearnerSettings(
        mode=mode, cold=DrawRates(0.4, 0.3), steady=DrawRates(0.2, 0.1), min_decisions=50
    )
    learner = Learner(("local", "cloud"), settings)
    replay = Replay(start(), learner, seed=3, delay=Delay(0, 40, silent=0.1))
    return replay, list(replay.run(traffic))


@pytest.mark.parametrize("mode", ["cascade_route", "route"])
def test_unseen_outcomes_change_no_decision(mode: Mode) -> None:
    traffic = rows(11, 1200, EASY, HARD)
    if mode == "route":
        traffic = [replace(row, score=None) for row in traffic]
    replay, served = learned(traffic, mode)
    assert len(replay.policies) >= 4
    assert len({each.actions for each in served}) >= 2
    changed = permuted(traffic, served, seed=1)
    assert sum(one != other for one, other in zip(traffic, changed, strict=True)) > 300

    def run(given: Sequence[Row]) -> tuple[Replay, list[Served]]:
        return learned(given, mode)

    assert decisions(run, changed) == decisions(run, traffic)


def test_seen_outcomes_do_change_decisions() -> None:
    """The test above could fail: the same exchange among labelled outcomes is noticed."""
    traffic = rows(11, 600, EASY)

    def run(given: Sequence[Row]) -> tuple[Replay, list[Served]]:
        return learned(given, "cascade_route")

    flipped = [replace(row, worth=(1 - row.worth[0], row.worth[1])) for row in traffic]
    assert decisions(run, flipped) != decisions(run, traffic)


def served_once(row: Row, mode: Mode, rates: DrawRates = ALWAYS) -> Served:
    (served,) = Replay(start(mode, rates), None).run([row])
    return served


ROW = replace(
    rows(1, 1, EASY)[0],
    worth=(0.0, 1.0), usd=(1.0, 10.0), score=-0.5, judge_usd=0.1,
)  # fmt: skip


def test_a_shadowed_local_answer_is_judged_and_charged() -> None:
    served = served_once(ROW, "always_cloud")
    assert served.actions == ("call:cloud",)
    assert (served.quality, served.cost_usd, served.labels) == (1.0, 10.0, 2)
    assert served.shadow_usd == pytest.approx(1.1)


def test_without_a_judge_a_shadowed_answer_costs_its_call() -> None:
    assert served_once(replace(ROW, score=None), "always_cloud").shadow_usd == 1.0


def test_a_shadowed_cloud_answer_costs_its_call() -> None:
    served = served_once(ROW, "always_local")
    assert (served.quality, served.cost_usd, served.shadow_usd) == (0.0, 1.0, 10.0)


def test_a_judged_and_escalated_query_is_charged_for_all_of_it() -> None:
    served = served_once(replace(ROW, score=-15.0), "cascade")
    assert served.actions == ("call:local", "judge", "call:cloud")
    assert served.cost_usd == pytest.approx(11.1)
    assert (served.shadow_usd, served.labels) == (0.0, 2)


def test_undrawn_queries_cost_no_label() -> None:
    served = served_once(ROW, "always_cloud", DrawRates(0.0, 0.0))
    assert (served.labels, served.shadow_usd) == (0, 0.0)
