"""The benchmark of real judges on hand-made answers: it charges what is due, and leaks nothing."""

import os
from dataclasses import replace

import numpy as np
import pytest

from controlplane.evaluate.baselines import Outcomes
from controlplane.evaluate.pairing import Pairs, Scores
from controlplane.evaluate.replay import Row
from dataplane.contract.rule import Array
from dataplane.features import of_text
from tests.benchmarks.folds import MODES, Sweeps, sweeps
from tests.benchmarks.judged import (
    DUELS,
    EIGHTY,
    SHARES,
    Costs,
    costs,
    excess,
    figures,
    loaded,
)
from tests.benchmarks.streams import data_folder

recorded = pytest.mark.skipif(
    "PENSTOCK_DATA" not in os.environ, reason="PENSTOCK_DATA names no folder of recordings"
)
LOCAL, JUDGE, CLOUD = 0.02, 0.05, 1.0


def made(count: int = 300, seed: int = 4) -> tuple[Pairs, list[str]]:
    """Half of the prompts are hard; the judge is right nine times in ten."""
    rng = np.random.default_rng(seed)
    hard = np.arange(count) % 2 == 1
    right = (rng.random(count) < np.where(hard, 0.3, 0.9)).astype(float)
    said = np.where(rng.random(count) < 0.9, right, 1 - right)
    prompts = [f"{'prove' if h else 'say'} number{at}" for at, h in enumerate(hard)]
    rows = tuple(
        Row(of_text(prompt), (local, 1.0), (LOCAL, CLOUD), score, JUDGE)
        for prompt, local, score in zip(prompts, right.tolist(), said.tolist(), strict=True)
    )
    ids = tuple(str(at) for at in range(count))
    return Pairs(
        ("local", "cloud"), ids, rows, Scores("peer", said, np.full(count, JUDGE)), 0, 0
    ), prompts


def swept(pairs: Pairs, prompts: list[str], *lambdas: float) -> Sweeps:
    return sweeps({"peer": pairs}, prompts, 1, np.array(lambdas))["peer"]


def test_what_each_course_took_is_charged() -> None:
    pairs, prompts = made()
    found = swept(pairs, prompts, 0.42, 50.0)
    usd = found.usd["cascade"]
    rejected = np.array([row.score == 0 for row in pairs.rows])
    assert usd[:, 0] == pytest.approx(LOCAL + JUDGE + rejected * CLOUD)
    assert usd[:, 1] == pytest.approx(np.full(len(prompts), LOCAL + JUDGE))
    to_cloud = found.usd["route"] == CLOUD
    assert (found.usd["route"][~to_cloud] == LOCAL).all()
    assert 0.3 < to_cloud[:, 0].mean() < 0.7
    assert found.quality["route"][to_cloud].min() == 1.0
    assert found.quality["cascade_route"][:, 1].tolist() == [row.worth[0] for row in pairs.rows]


def test_the_prompt_tells_which_answers_are_worth_judging() -> None:
    pairs, prompts = made()
    usd = swept(pairs, prompts, 0.7).usd["cascade_route"][:, 0]
    hard = np.array([prompt.startswith("prove") for prompt in prompts])
    assert (usd[~hard] > LOCAL).mean() < 0.1
    assert (usd[hard] > LOCAL).mean() > 0.9


def test_no_query_teaches_what_decides_it() -> None:
    pairs, prompts = made()
    lambdas = np.geomspace(0.05, 2, 60)
    before = swept(pairs, prompts, *lambdas).usd["cascade_route"]
    for at in (0, 24):
        other = replace(pairs.rows[at], worth=(1 - pairs.rows[at].worth[0], 0.0))
        rows = (*pairs.rows[:at], other, *pairs.rows[at + 1 :])
        after = swept(replace(pairs, rows=rows), prompts, *lambdas).usd["cascade_route"]
        assert (before[at] == after[at]).all()
        assert (before != after).any()  # it teaches the other folds


def test_a_seed_is_another_parting() -> None:
    pairs, prompts = made()
    lambdas = np.linspace(0.45, 0.75, 13)
    runs = [sweeps({"peer": pairs}, prompts, seed, lambdas)["peer"] for seed in (1, 1, 2)]
    usd = [run.usd["cascade_route"] for run in runs]
    assert (usd[0] == usd[1]).all()
    assert (usd[0] != usd[2]).any()


def hand_made(route: Array, cascade: Array, both: Array) -> Sweeps:
    """Two queries, of which the local tier answers one."""
    outcomes = Outcomes(np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.1, 1.0], [0.1, 1.0]]))
    usd = dict(zip(MODES, (route, cascade, both), strict=True))
    quality = {mode: np.array([[1.0], [1.0]]) for mode in MODES}
    return Sweeps(usd, quality, outcomes)


def test_costs_are_read_off_the_hull() -> None:
    each = [np.array([[a], [b]]) for a, b in ((0.1, 1.0), (0.2, 1.0), (0.1, 0.9))]
    found = costs([hand_made(*each)], resamples=0)
    assert found.n == 2
    assert found.all[0] == pytest.approx(0.1 + SHARES * (0.55 - 0.1))
    assert found.all[2] == pytest.approx(0.1 + SHARES * (0.5 - 0.1))
    assert excess(found.all) == pytest.approx(found.all[2] / found.all[0] - 1)


def test_the_whole_gap_costs_no_more_for_the_order_of_a_sum() -> None:
    ways = [np.array([[0.1], [1.0]]), np.array([[0.1], [1.0]]), np.array([[0.1], [0.6]])]
    made = hand_made(*ways)
    for quality in made.quality.values():
        quality[:] = 1 - 1e-13
    assert costs([made], resamples=0).all[2, -1] == pytest.approx(0.35)


def test_seeds_are_averaged_before_they_are_compared() -> None:
    dear = [np.array([[0.1], [b]]) for b in (1.0, 1.0, 1.1)]
    cheap = [np.array([[0.1], [b]]) for b in (1.0, 1.0, 0.9)]
    found = costs([hand_made(*dear), hand_made(*cheap)], resamples=0)
    assert excess(found.all).max() == pytest.approx(0.0, abs=1e-9)


def test_the_worst_excess_is_that_of_the_worst_case() -> None:
    drawn = np.full((20, len(MODES), len(SHARES)), 0.5)
    drawn[:, 2, 3] = np.linspace(0.5, 0.52, 20)
    plain = Costs(drawn.mean(axis=0), drawn, 100)
    worse = Costs(plain.all + 0.1 * (np.arange(3) == 2)[:, None], drawn, 40)
    named = figures({"zeroeval_gsm_llama8b_mini": plain, "other": worse})
    assert named["worst_excess_over_pure"].value == pytest.approx(0.61 / 0.5 - 1)
    assert named["worst_excess_over_pure"].n == 140
    assert named["cost80_zeroeval_gsm"].value == plain.all[2, EIGHTY]
    assert named["excess_zeroeval_gsm_llama8b_mini"].value == pytest.approx(0.02)
    assert named["excess_zeroeval_gsm_llama8b_mini"].upper == pytest.approx(0.04, abs=0.003)


@recorded
def test_recorded_answers_are_measured() -> None:
    judged, prompts = loaded(data_folder(None), DUELS[-1])
    runs = [sweeps(judged, prompts, seed)["consistency"] for seed in (3,)]
    found = costs(runs, resamples=20)
    assert found.n == 400
    assert (np.diff(found.all, axis=1) > 0).all()
    assert 0.5 < found.all[2, EIGHTY] < 0.8
    assert excess(found.all).max() < 0.03
