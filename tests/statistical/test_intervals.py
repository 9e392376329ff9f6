"""Intervals are tested by how often they cover, over seeded simulations."""

import numpy as np
import pytest

from controlplane.stats import Survey, clopper_pearson, controlled_mean, hajek_mean, wilson

RUNS = 2000


@pytest.mark.parametrize("n", [20, 100, 400])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_wilson_covers_about_as_often_as_it_says(n: int, p: float) -> None:
    successes = np.random.default_rng(n).binomial(n, p, RUNS)
    intervals = [wilson(s / n, n) for s in successes]
    covered = np.mean([i.low <= p <= i.high for i in intervals])
    assert 0.92 <= covered <= 0.985


@pytest.mark.parametrize("n", [10, 60])
@pytest.mark.parametrize("p", [0.02, 0.5, 0.9])
def test_clopper_pearson_covers_at_least_as_often_as_it_says(n: int, p: float) -> None:
    successes = np.random.default_rng(n).binomial(n, p, RUNS)
    intervals = [clopper_pearson(int(s), n) for s in successes]
    assert np.mean([i.low <= p <= i.high for i in intervals]) >= 0.945


def surveyed(rng: np.random.Generator, queries: int, quality_of_prediction: float) -> Survey:
    """A drifting stream, drawn with unequal known chances; its truth is ``surveyed.truth``."""
    difficulty = rng.normal(size=queries) + np.linspace(0.5, -0.5, queries)
    p = 1 / (1 + np.exp(-1.5 - 2 * difficulty))
    value = (rng.uniform(size=queries) < p).astype(float)
    predicted = quality_of_prediction * p + (1 - quality_of_prediction) * rng.uniform(size=queries)
    chance = np.where(difficulty > 0, 0.08, 0.2)
    drawn = rng.uniform(size=queries) < chance
    truth.append(float(value.mean()))
    return Survey(value[drawn], predicted[drawn], chance[drawn], float(predicted.mean()), queries)


truth: list[float] = []


@pytest.mark.parametrize("quality_of_prediction", [0.0, 0.5, 1.0])
def test_the_controlled_mean_covers_the_mean_of_the_stream(quality_of_prediction: float) -> None:
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(400):
        interval, power = controlled_mean(surveyed(rng, 4000, quality_of_prediction))
        covered.append(interval.low <= truth.pop() <= interval.high)
        assert 0 <= power <= 1
    assert 0.925 <= np.mean(covered) <= 0.985


def test_a_good_prediction_narrows_the_interval_and_a_useless_one_does_not_widen_it() -> None:
    def mean_width(quality: float) -> float:
        rng = np.random.default_rng(11)
        intervals = [controlled_mean(surveyed(rng, 4000, quality))[0] for _ in range(50)]
        return float(np.mean([i.high - i.low for i in intervals]))

    useless, good = mean_width(0.0), mean_width(1.0)
    assert good < 0.85 * useless


def test_the_weighted_wilson_interval_covers_with_few_labels() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(600):
        interval = hajek_mean(surveyed(rng, 600, 0.0))
        covered.append(interval.low <= truth.pop() <= interval.high)
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.5])
def test_a_confidence_outside_the_unit_interval_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        wilson(0.5, 10, confidence)
    with pytest.raises(ValueError, match="confidence"):
        clopper_pearson(5, 10, confidence)
