from dataclasses import replace

import numpy as np
import pytest

from controlplane.evaluate.recorded import RecordingError
from controlplane.evaluate.rehearsal import Plan, Rehearsal, rehearse
from controlplane.evaluate.scoreboard import Report, report
from tests.unit.controlplane.evaluate.test_rehearsal import pairs
from tests.unit.controlplane.learn.rows import EASY, rows


@pytest.fixture(scope="module")
def ran() -> Rehearsal:
    traffic = [replace(row, judge_usd=2e-6) for row in rows(2, 900, EASY)]
    rehearsal = rehearse(pairs(traffic), Plan(0.9, seed=1, repeat=2))
    assert sum(1 for _ in rehearsal.run()) == 1800
    return rehearsal


@pytest.fixture(scope="module")
def told(ran: Rehearsal) -> Report:
    return report("a.jsonl", ran)


def test_every_cost_is_charged_once(ran: Rehearsal, told: Report) -> None:
    parts = told.serving_cost_usd + told.judge_cost_usd + told.shadow_cost_usd
    assert told.penstock.cost_usd == pytest.approx(parts)
    assert told.judge_cost_usd > 0
    assert told.penstock.quality == pytest.approx(np.mean([s.quality for s in ran.served]))
    assert told.labels == sum(served.labels for served in ran.served)
    assert sum(version.decisions for version in told.policy_versions) == told.queries == 1800


def test_baselines_are_of_the_same_queries(told: Report) -> None:
    local, cloud, mix, oracle = told.baselines
    assert [line.name for line in told.baselines] == [
        "always local", "always cloud", "random mix", "oracle",
    ]  # fmt: skip
    assert cloud.cost_share == 1
    assert local.quality < mix.quality < cloud.quality
    assert mix.quality == pytest.approx(told.target_quality)
    assert oracle.quality == pytest.approx(told.target_quality, abs=1 / 1800)
    assert local.cost_share < oracle.cost_share < mix.cost_share
    assert told.target_reachable


def test_intervals_hold_their_estimates(told: Report) -> None:
    for line in (told.penstock, told.penstock_late, *told.baselines):
        low, high = line.quality_interval
        assert low < line.quality < high
        least, most = line.cost_share_interval
        assert least - 1e-9 <= line.cost_share <= most + 1e-9


def test_the_saving_is_against_chance_at_the_same_quality(told: Report) -> None:
    local, cloud = told.baselines[:2]
    share = (told.penstock.quality - local.quality) / (cloud.quality - local.quality)
    share = min(share, 1.0)  # a mix is no better than the cloud
    blind = local.cost_usd + share * (cloud.cost_usd - local.cost_usd)
    assert told.saving_at_equal_quality == pytest.approx(1 - told.penstock.cost_usd / blind)


def test_a_target_above_both_models_is_unreachable(ran: Rehearsal) -> None:
    short = rehearse(pairs(rows(2, 300, EASY)), Plan(0.999))
    assert sum(1 for _ in short.run()) == 300
    assert not report("a.jsonl", short).target_reachable


def test_a_free_cloud_is_refused() -> None:
    free = [replace(row, usd=(row.usd[0], 0.0)) for row in rows(2, 60, EASY)]
    rehearsal = rehearse(pairs(free), Plan(0.9))
    assert sum(1 for _ in rehearsal.run()) == 60
    with pytest.raises(RecordingError, match="give --cloud-price"):
        report("a.jsonl", rehearsal)
