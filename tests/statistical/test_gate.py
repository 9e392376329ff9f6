"""The trust gate keeps a useless judge out, lets a good one in, and closes when it breaks.

Traffic is SIMULATED (``tests/gates.py``): routing and cascade routing by the decision rule at one
lambda, a judge's cost of .03, answers that are the same when both are right. Pairs are queries
whose served answers differ.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from controlplane.stats.betting import Wealth, bet, evidence_paths
from controlplane.stats.detector import Detector, detect
from controlplane.stats.gate import Gate, Terms, observe, opened
from tests.coverage import EFFORT, assert_misses_at_most
from tests.gates import CLOUD, JUDGE, LOCAL, sampled

LAMBDA = 0.2  # recovers some 80 % of the gap between the tiers
TERMS = Terms(reach=1 + LAMBDA * (CLOUD + LOCAL + JUDGE))
USELESS, GOOD = 0.5, 0.8
BLOCK = 2000
SLOW = pytest.mark.slow


def traffic(rng: np.random.Generator, auroc: float) -> Iterator[tuple[float, bool]]:
    while True:
        block = sampled(rng, BLOCK, auroc, LAMBDA)
        yield from zip(block.difference.tolist(), block.pair.tolist(), strict=True)


def pairs_until(
    gate: Gate, standing: str, queries: Iterator[tuple[float, bool]], most: int
) -> float:
    """Pairs seen when the gate first stands so, infinite if that takes more than ``most``."""
    pairs = 0
    for difference, pair in queries:
        gate, pairs = observe(gate, difference, TERMS, pair=pair), pairs + pair
        if gate.standing == standing:
            return pairs
        if pairs >= most:
            break
    return float("inf")


def kept(gate: Gate, queries: Iterator[tuple[float, bool]], most: int) -> Gate:
    """The gate after so many pairs."""
    pairs = 0
    while pairs < most:
        difference, pair = next(queries)
        gate, pairs = observe(gate, difference, TERMS, pair=pair), pairs + pair
    return gate


@pytest.mark.parametrize("runs", [20, pytest.param(200, marks=SLOW)])
def test_a_useless_judge_is_kept_out(runs: int) -> None:
    took = [
        pairs_until(Gate(), "earned", traffic(np.random.default_rng((1, run)), USELESS), 600)
        for run in range(runs)
    ]
    print(f"closed {np.mean(np.isinf(took)):.3f}")  # noqa: T201 - shown by -rP: the figures
    assert np.mean(np.isinf(took)) >= 0.95


@pytest.mark.parametrize("runs", [20, pytest.param(200, marks=SLOW)])
def test_a_good_judge_is_let_in(runs: int) -> None:
    took = [
        pairs_until(Gate(), "earned", traffic(np.random.default_rng((2, run)), GOOD), 300)
        for run in range(runs)
    ]
    print(f"opened {np.mean(np.isfinite(took)):.3f} median {np.median(took)}")  # noqa: T201 - figures
    assert np.mean(np.isfinite(took)) >= 0.9


@pytest.mark.parametrize("runs", [15, pytest.param(200, marks=SLOW)])
def test_a_judge_that_breaks_loses_its_say(runs: int) -> None:
    took = []
    for run in range(runs):
        rng = np.random.default_rng((3, run))
        gate = kept(opened(Gate("earned")), traffic(rng, GOOD), 100)
        took.append(pairs_until(gate, "closed", traffic(rng, USELESS), 2000))
    print(f"closed after {np.median(took)} pairs")  # noqa: T201 - shown by -rP: the figures
    assert np.median(took) <= 350


@pytest.mark.parametrize("runs", [10, pytest.param(300, marks=SLOW)])
def test_a_good_judge_keeps_its_say(runs: int) -> None:
    lost = [
        np.isfinite(
            pairs_until(
                Gate("open"), "closed", traffic(np.random.default_rng((4, run)), GOOD), 1000
            )
        )
        for run in range(runs)
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
