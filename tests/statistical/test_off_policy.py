"""How often the off-policy intervals hold, and whether the estimates are without bias.

Streams are SIMULATED: an answer's value is a coin whose odds the query tells, and how probable it
was to be known may go with them.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from controlplane.stats import Disagreement, OffPolicy, disagreement, dr, ips, snips
from tests.coverage import share, within

Array = NDArray[np.float64]

RUNS = 2000
QUERIES = 1500
MODELS: dict[str, Callable[[Array], Array]] = {
    "good": lambda p: p,
    "flat": lambda p: np.full(len(p), 0.5),
    "perverse": lambda p: 1 - p,
}
CHANCES: dict[str, Callable[[Array, float], Array]] = {
    "uniform": lambda p, _: np.full(len(p), 0.08),
    "of the hard": lambda p, q: np.where(p < q, 0.15, 0.05),
    "of the easy": lambda p, q: np.where(p > q, 0.15, 0.05),
}


def stream(
    rng: np.random.Generator, quality: float, design: str
) -> tuple[Array, Array, Array, Array]:
    """Values as far as known, their chances, the odds behind them, and all values."""
    p = np.clip(quality + rng.normal(0, 0.1, QUERIES), 0.005, 0.995)
    truth = (rng.uniform(size=QUERIES) < p).astype(float)
    chance = CHANCES[design](p, quality)
    return np.where(rng.uniform(size=QUERIES) < chance, truth, np.nan), chance, p, truth


@pytest.mark.parametrize("design", CHANCES)
@pytest.mark.parametrize(
    "quality",
    [pytest.param(0.5, marks=pytest.mark.slow), 0.8, pytest.param(0.95, marks=pytest.mark.slow)],
)
def test_the_intervals_cover(quality: float, design: str) -> None:
    rng = np.random.default_rng(int(100 * quality))
    names = ["ips", "snips", *MODELS]
    told: dict[str, list[bool]] = {name: [] for name in names}
    error: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(RUNS):
        value, chance, p, truth = stream(rng, quality, design)
        found = {"ips": ips(value, chance), "snips": snips(value, chance)}
        found |= {name: dr(value, chance, model(p)) for name, model in MODELS.items()}
        for name, each in found.items():
            assert isinstance(each, OffPolicy), each
            told[name].append(within(each.interval, truth.mean()))
            error[name].append(each.interval.estimate - truth.mean())
    for name in names:
        print(f"{name} covers {share(told[name]):.4f}, bias {np.mean(error[name]):+.5f}")  # noqa: T201 - shown by -rP: the figures
        assert share(told[name]) >= 0.93
    for name in ("good", "flat"):
        assert abs(np.mean(error[name])) < 4 * np.std(error[name]) / np.sqrt(RUNS)
    assert np.std(error["good"]) < np.std(error["flat"]) < np.std(error["perverse"])
    if quality == 0.5:  # elsewhere estimates beyond 1 are cut off
        assert abs(np.mean(error["ips"])) < 4 * np.std(error["ips"]) / np.sqrt(RUNS)


def test_without_the_weights_rare_answers_would_be_missed() -> None:
    """What is known of it is mostly hard: its plain mean is off by far more than it errs."""
    rng = np.random.default_rng(7)
    value, _, _, truth = stream(rng, 0.8, "of the hard")
    assert np.nanmean(value) < truth.mean() - 0.02


def apart(
    rng: np.random.Generator, share_differing: float, better: float
) -> tuple[Array, NDArray[np.bool_]]:
    """By how much a policy's answers are better than another's, and where they part."""
    differ = rng.uniform(size=QUERIES) < share_differing
    new, old = (rng.uniform(size=QUERIES) < 0.8 + more for more in (better, 0.0))
    return np.where(differ, new.astype(float) - old, 0.0), differ


@pytest.mark.parametrize("share_differing", [0.1, 0.5])
@pytest.mark.parametrize("better", [0.0, 0.15])
def test_the_effect_of_disagreement_is_covered(better: float, share_differing: float) -> None:
    rng, told = np.random.default_rng(11), []
    for _ in range(RUNS):
        difference, differ = apart(rng, share_differing, better)
        chance = rng.uniform(0.4, 0.9, QUERIES)
        seen = np.where(rng.uniform(size=QUERIES) < chance, difference, np.nan)
        found = disagreement(seen, chance, differ)
        assert isinstance(found, Disagreement)
        told.append(within(found.effect, difference.mean()))
    print(f"covers {share(told):.4f}")  # noqa: T201 - shown by -rP: the figures
    assert share(told) >= 0.93


def test_labels_tell_most_where_policies_part() -> None:
    """As many labels, drawn there alone or of all queries."""
    rng = np.random.default_rng(13)
    there: list[float] = []
    anywhere: list[float] = []
    for _ in range(RUNS // 10):
        difference, differ = apart(rng, 0.2, 0.1)
        u = rng.uniform(size=QUERIES)
        for rate, widths in (((0.5 * differ), there), (np.full(QUERIES, 0.1), anywhere)):
            chance = np.asarray(rate, dtype=np.float64)
            seen = np.where(u < chance, difference, np.nan)
            everywhere = differ if widths is there else np.ones(QUERIES, dtype=bool)
            found = disagreement(seen, chance, everywhere)
            assert isinstance(found, Disagreement)
            widths.append((found.effect.high - found.effect.low) ** 2)
    print(f"a label is worth {np.mean(anywhere) / np.mean(there):.1f}")  # noqa: T201 - shown by -rP: the figures
    assert np.mean(anywhere) > 5 * np.mean(there)


def test_a_policy_that_the_log_hardly_met_is_always_refused() -> None:
    """Its answers could not be known of a tenth of the queries, whatever the rest says."""
    rng = np.random.default_rng(5)
    for _ in range(RUNS // 10):
        value, chance, p, _ = stream(rng, 0.8, "uniform")
        beyond = rng.uniform(size=QUERIES) < 0.1
        value[beyond], chance[beyond] = np.nan, 0.0
        assert not any(
            isinstance(each, OffPolicy)
            for each in (ips(value, chance), snips(value, chance), dr(value, chance, p))
        )
