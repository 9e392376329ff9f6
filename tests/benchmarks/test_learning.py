"""The learning benchmark on a few queries: it runs, and it leaks nothing."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.figure import Figure
from tests.benchmarks.learning import Job, measured
from tests.benchmarks.runs import HOLDS, SCENARIOS, Once, Outcome, Window, recovered, run
from tests.benchmarks.streams import Halves, data_folder, halves, stream, warm
from tests.unit.controlplane.learn.rows import EASY, rows

DATA = os.environ.get("PENSTOCK_DATA")
recorded = pytest.mark.skipif(DATA is None, reason="PENSTOCK_DATA names no folder of recordings")


@pytest.fixture(scope="module")
def parts() -> Halves:
    return halves(data_folder(None))


@pytest.mark.slow
@recorded
def test_no_prompt_is_on_two_sides(parts: Halves) -> None:
    sides = [set(pool.features) for pool in (parts.taught, parts.warm, parts.served)]
    shared = sum(len(one & other) for one, other in zip(sides, [*sides[1:], sides[0]], strict=True))
    assert shared < 0.005 * len(parts.served)  # prompts of equal features, by chance
    again = halves(data_folder(None), tuning=1)
    served = set(parts.served.features)
    assert len(served & set(again.served.features)) < 0.005 * len(served)


@pytest.mark.slow
@recorded
@pytest.mark.parametrize("name", ["stationary", "judge_drift", "mix_drift", "price_drift", "cold"])
def test_a_short_run_is_measured(parts: Halves, name: str) -> None:
    outcome = run(parts, SCENARIOS[name], seed=2001, queries=1000)
    assert 0 <= outcome.recovered <= 500
    assert 0 <= outcome.outside <= 1
    for window in outcome.windows:
        assert -0.5 < window.error < 0.5
        assert window.total > 0.2
    assert outcome.labels > 30
    assert outcome.state_bytes < 1_000_000


@pytest.mark.slow
@recorded
def test_the_same_seed_is_the_same_run(parts: Halves) -> None:
    one, other = (run(parts, SCENARIOS["stationary"], seed=2002, queries=600) for _ in range(2))
    assert one == other
    assert stream(parts, 1, 50, "none").rows != stream(parts, 2, 50, "none").rows
    assert len(warm(parts, 1, 10)) == 10


@pytest.mark.parametrize(
    ("held", "after"),
    [
        ([True] * HOLDS + [False] * 9, 0),
        ([False] * 9 + [True] * (HOLDS - 1) + [False] + [True] * HOLDS, 9 + HOLDS),
        ([False] * 9 + [True] * 5, 9),
        ([True] * (HOLDS - 1) + [False] * 9, HOLDS + 8),
    ],
)
def test_recovered_is_when_the_tolerance_holds_for_a_while(held: list[bool], after: int) -> None:
    assert recovered(held) == after


def test_a_prompt_teaches_p_hat_once() -> None:
    features = rows(1, 1, EASY)[0].features
    once = Once()
    once.learn(features, 1.0)
    after = once.predict(features)
    once.learn(features, 1.0)
    assert once.predict(features) == after


def test_a_run_that_was_kept_is_not_run_again(tmp_path: Path) -> None:
    job, kept = Job("cold", 3, 100), tmp_path / "runs.jsonl"
    window = Window(excess=0.1, total=1.1, error=-0.01, cost=0.4)
    outcome = Outcome((window, window), 7, 0.25, 70, 1, 900_000)
    kept.write_text(json.dumps([job, asdict(outcome)]) + "\n", "utf-8")
    assert list(measured([job], tmp_path, 1, kept)) == [(job, outcome)]  # no recordings are here


def test_a_figure_has_its_interval() -> None:
    figure = Figure.mean([1.0, 2.0, 3.0], "fraction")
    assert figure.value == 2.0
    assert figure.upper - figure.lower == pytest.approx(2 * 1.96 / np.sqrt(3))
