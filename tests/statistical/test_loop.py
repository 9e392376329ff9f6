"""Whether the loop does its job on the sandbox's streams: the target is met, and for less money.

Each run is a demo of 6,000 queries without its processes: the shipped model's answers, the
SIMULATED cloud, labels late and one in ten silent, a harder mix from half way. The judge is trusted
from the start, or on trial as in the demo. The seeds are none that the learner was tuned on.
"""

import numpy as np
import pytest

from dataplane.contract.rule import Array
from tests.sandbox_rows import TARGET, Run, serve

pytestmark = pytest.mark.slow

QUERIES = 6000
SEEDS = range(101, 107)


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [serve(seed, QUERIES, trusted=True) for seed in SEEDS]


@pytest.fixture(scope="module")
def trials() -> list[Run]:
    return [serve(seed, QUERIES) for seed in SEEDS[:3]]


def settled_quality(run: Run) -> float:
    """Over the last two thirds, as the demo judges itself."""
    return float(run.right[QUERIES // 3 :].mean())


def knobs(run: Run, first: int, end: int) -> Array:
    """Median routing threshold and judge cutoff over a stretch of queries."""
    segments = [run.live(at).segments[0] for at in range(first, end)]
    return np.median([(s.routing_threshold, s.judge_cutoff) for s in segments], axis=0)


def test_quality_keeps_to_its_target(runs: list[Run]) -> None:
    beyond = np.array([settled_quality(run) - TARGET for run in runs])
    assert -0.015 <= beyond.mean() <= 0.025, beyond
    assert beyond.min() >= -0.035, beyond
    assert beyond.max() <= 0.045, beyond


def test_cost_stays_below_sixty_percent_of_the_cloud(runs: list[Run]) -> None:
    shares = [run.cost_share for run in runs]
    assert max(shares) < 0.6, shares


def test_labels_are_few(runs: list[Run]) -> None:
    shares = [run.label_share for run in runs]
    assert max(shares) <= 0.15, shares


def test_the_learning_is_what_saves(runs: list[Run]) -> None:
    for seed, run in zip(SEEDS, runs, strict=True):
        frozen = serve(seed, QUERIES, frozen=True, trusted=True)
        assert len(frozen.policies) == 1
        missed = settled_quality(frozen) < TARGET - 0.02
        assert missed or frozen.cost_share >= 1.25 * run.cost_share


def test_a_harder_mix_raises_threshold_and_cutoff(runs: list[Run]) -> None:
    before = np.array([knobs(run, QUERIES // 4, QUERIES // 2) for run in runs])
    after = np.array([knobs(run, QUERIES * 5 // 8, QUERIES) for run in runs])
    rose = (after > before).mean(axis=0)
    assert (rose >= 2 / 3).all(), (before, after)


def test_a_higher_target_raises_threshold_and_cutoff() -> None:
    seed, count = SEEDS[0], QUERIES // 2
    low, high = (serve(seed, count, target, trusted=True) for target in (0.85, 0.95))
    assert (knobs(high, count // 3, count) > knobs(low, count // 3, count)).all()
    assert high.right[count // 3 :].mean() > low.right[count // 3 :].mean()


def test_the_live_policy_recovers_from_the_harder_mix(runs: list[Run]) -> None:
    took = [run.recovery(seed, TARGET - 0.02) for seed, run in zip(SEEDS, runs, strict=True)]
    in_time = [queries is not None and queries <= 1500 for queries in took]
    assert np.mean(in_time) >= 2 / 3, took


def test_on_trial_the_judge_earns_its_say_and_the_target_is_kept(trials: list[Run]) -> None:
    for run in trials:
        decides = [run.live(at).segments[0].trust == "open" for at in range(QUERIES)]
        assert not decides[0]
        assert decides.index(True) < QUERIES // 2
        assert all(decides[QUERIES // 2 :])
        assert settled_quality(run) >= TARGET - 0.02


def test_a_trial_costs_more_and_is_over(trials: list[Run], runs: list[Run]) -> None:
    for run, trusted in zip(trials, runs, strict=False):
        assert run.label_share <= 0.4
        assert trusted.cost_share < run.cost_share < 0.65
        assert run.part(QUERIES * 3 // 4, QUERIES) < 1.25 * trusted.part(QUERIES * 3 // 4, QUERIES)
