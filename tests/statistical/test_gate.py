"""The trust gate keeps a useless judge out, lets a good one in, and closes when it breaks.

Traffic is SIMULATED (``tests/gates.py``): routing and cascade routing by the decision rule at one
lambda, a judge's cost of .03, answers that are the same when both are right. Pairs are queries
whose served answers differ.
"""

import numpy as np
import pytest

from controlplane.stats.betting import Wealth, bet, evidence_paths
from controlplane.stats.detector import Detector, detect
from tests.coverage import EFFORT, assert_misses_at_most
from tests.gates import (
    GOOD,
    OPEN_WITHIN,
    TERMS,
    USELESS,
    USELESS_FOR,
    until_closed_in_error,
    until_closed_once_broken,
    until_opened,
)

SLOW = pytest.mark.slow


@pytest.mark.parametrize("runs", [20, pytest.param(200, marks=SLOW)])
def test_a_useless_judge_is_kept_out(runs: int) -> None:
    took = [
        until_opened(np.random.default_rng((1, run)), USELESS, USELESS_FOR) for run in range(runs)
    ]
    print(f"closed {np.mean(np.isinf(took)):.3f}")  # noqa: T201 - shown by -rP: the figures
    assert np.mean(np.isinf(took)) >= 0.95


@pytest.mark.parametrize("runs", [20, pytest.param(200, marks=SLOW)])
def test_a_good_judge_is_let_in(runs: int) -> None:
    took = [until_opened(np.random.default_rng((2, run)), GOOD, OPEN_WITHIN) for run in range(runs)]
    print(f"opened {np.mean(np.isfinite(took)):.3f} median {np.median(took)}")  # noqa: T201 - figures
    assert np.mean(np.isfinite(took)) >= 0.9


@pytest.mark.parametrize("runs", [15, pytest.param(200, marks=SLOW)])
def test_a_judge_that_breaks_loses_its_say(runs: int) -> None:
    took = [until_closed_once_broken(np.random.default_rng((3, run))) for run in range(runs)]
    print(f"closed after {np.median(took)} pairs")  # noqa: T201 - shown by -rP: the figures
    assert np.median(took) <= 350


@pytest.mark.parametrize("runs", [10, pytest.param(300, marks=SLOW)])
def test_a_good_judge_keeps_its_say(runs: int) -> None:
    lost = [
        np.isfinite(until_closed_in_error(np.random.default_rng((4, run)))) for run in range(runs)
    ]
    print(f"lost {np.mean(lost):.4f}")  # noqa: T201 - shown by -rP: the figures
    assert np.mean(lost) <= 0.01


@EFFORT
@pytest.mark.parametrize("null", [0.0, -0.2])
@pytest.mark.parametrize("tied", [0.2, 0.7])
def test_wealth_grows_large_by_chance_as_rarely_as_it_says(
    tied: float, null: float, runs: int
) -> None:
    """Differences of -1, 0 and 1 whose mean is exactly the null's."""
    rng = np.random.default_rng(11)
    chance = [(1 - tied - null) / 2, tied, (1 - tied + null) / 2]
    worst = [
        evidence_paths(rng.choice([-1.0, 0.0, 1.0], 2000, p=chance), null).max()
        for _ in range(runs)
    ]
    assert_misses_at_most([bool(each >= np.log(20)) for each in worst])


def test_the_detector_runs_on_for_as_long_as_it_says() -> None:
    """At the edge of its null; a run that reaches the end is counted as that long."""
    promised, lengths = 200, []
    rng = np.random.default_rng(12)
    for _ in range(60):
        detector = Detector()
        for difference in rng.choice([-1.0, 1.0], 4000).tolist():
            detector = detect(detector, difference)
            if detector.log_evidence >= np.log(promised):
                break
        lengths.append(detector.updates)
    assert np.mean(lengths) >= promised


def test_a_judge_that_just_breaks_even_rarely_earns_an_opening() -> None:
    rng, earned = np.random.default_rng(13), 0
    for _ in range(200):
        wealth = Wealth()
        for difference in rng.choice([-1.0, 1.0], 300).tolist():
            wealth = bet(wealth, difference, least=-TERMS.reach)
            if wealth.log_evidence >= np.log(20):
                earned += 1
                break
    assert earned <= 0.05 * 200 + 3 * np.sqrt(200 * 0.05 * 0.95)
