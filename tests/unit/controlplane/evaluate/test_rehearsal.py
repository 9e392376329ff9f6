from dataclasses import replace

import numpy as np
import pytest

from controlplane.evaluate.pairing import Pairs, Scores
from controlplane.evaluate.rehearsal import Plan, judge_table, order, price_list, rehearse
from controlplane.evaluate.replay import Row
from tests.unit.controlplane.learn.rows import EASY, rows

TRAFFIC = rows(1, 300, EASY)


def pairs(traffic: list[Row], *, judged: bool = True) -> Pairs:
    if not judged:
        traffic = [replace(row, score=None) for row in traffic]
    raw = np.array([np.nan if row.score is None else row.score for row in traffic])
    scores = Scores("logprob", raw, np.zeros(len(raw))) if judged else None
    ids = tuple(str(at) for at in range(len(traffic)))
    return Pairs(("local", "cloud"), ids, tuple(traffic), scores, lacking=0, contaminated=0)


@pytest.mark.parametrize(
    "usd",
    [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [0.0, 0.0, 9.0], [0.0, 0.0, 0.0], [5.0, 5.0, 5.0]],
)
def test_expected_costs_have_the_recorded_mean(usd: list[float]) -> None:
    chars = np.array([100.0, 200.0, 300.0])
    terms = price_list("cloud", chars, np.array(usd))
    assert np.mean(terms.expected_cost_usd(chars)) == pytest.approx(np.mean(usd))


def test_a_price_by_length_is_found() -> None:
    chars = np.array([100.0, 200.0, 400.0])
    terms = price_list("cloud", chars, 0.5 + 0.01 * chars)
    assert terms.expected_cost_usd(1000.0) == pytest.approx(10.5)


def test_each_pass_serves_every_query_once_in_an_order_of_its_own() -> None:
    served = order(50, Plan(0.9, repeat=2, seed=4))
    assert sorted(served[:50]) == sorted(served[50:]) == list(range(50))
    assert served[:50] != served[50:]
    assert served == order(50, Plan(0.9, repeat=2, seed=4))
    assert served != order(50, Plan(0.9, repeat=2, seed=5))
    assert order(3, Plan(0.9, repeat=2, shuffle=False)) == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("raw", [[0.0, 1.0], [1.0] * 999 + [0.0], [0.3, 0.3], [-1000.0, -0.1, 0.0]])
def test_the_judges_range_holds_every_score_below_its_top(raw: list[float]) -> None:
    table = judge_table(Scores("sure", np.array([*raw, np.nan]), np.zeros(1)), TRAFFIC)
    assert table.lowest < max(raw) < table.highest or len(set(raw)) == 1
    assert table.clip(max(raw)) == max(raw)


def test_the_judge_costs_what_it_does_on_average() -> None:
    dear = [replace(row, judge_usd=0.5 * (at % 2)) for at, row in enumerate(TRAFFIC)]
    assert rehearse(pairs(dear), Plan(0.9)).replay.live.judge.cost_usd == 0.25


def test_the_start_is_cautious_and_says_so() -> None:
    live = rehearse(pairs(TRAFFIC), Plan(0.9)).replay.live
    assert live.segments[0].mode == "always_cloud"
    assert live.segments[0].trust == "open"
    gated = rehearse(pairs(TRAFFIC), Plan(0.9, gated=True)).replay.live
    assert gated.segments[0].trust == "closed"
    assert "untrained" in live.reason


def test_a_file_without_a_judge_is_routed() -> None:
    rehearsal = rehearse(pairs(TRAFFIC * 4, judged=False), Plan(0.85, audit=0.3, shadow=0.2))
    actions = {served.actions for served in rehearsal.run()}
    assert actions == {("call:cloud",), ("call:local",)}
    assert {p.segments[0].mode for p in rehearsal.replay.policies} <= {"always_cloud", "route"}


def test_a_file_with_a_judge_may_cascade() -> None:
    rehearsal = rehearse(pairs(TRAFFIC * 4), Plan(0.85, audit=0.2, shadow=0.1))
    actions = {served.actions for served in rehearsal.run()}
    assert ("call:local", "judge") in actions
    assert len(rehearsal.served) == len(rehearsal) == 1200
    assert rehearsal.seconds > 0
