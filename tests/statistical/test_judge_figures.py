"""A judge's rates, area, Brier score, calibration error and labellers' kappa cover the truth.

A binormal judge is SIMULATED; labels are drawn uniformly, or more often near the cutoff.
"""

import numpy as np
import pytest
from scipy.stats import norm

from controlplane.stats import auroc, brier, calibration_error, cohens_kappa, confusion
from tests.audits import CUTOFF, of_judge
from tests.binormal import LOCAL_RIGHT, answers, calibrated_bins, separation, two_labellers
from tests.coverage import EFFORT, assert_covers, within

DRAWN = pytest.mark.parametrize("adaptive", [False, True], ids=["uniform", "near-cutoff"])
LABELS = pytest.mark.parametrize("labels", [100, 300, 1000])
JUDGES = pytest.mark.parametrize("truth", [0.5, 0.8, 0.93])


@EFFORT
@LABELS
@DRAWN
def test_rates_at_a_cutoff(adaptive: bool, labels: int, runs: int) -> None:
    rng, truth = np.random.default_rng(labels), 0.8
    tpr, fpr = norm.sf(CUTOFF - separation(truth)), norm.sf(CUTOFF)
    accepted = LOCAL_RIGHT * tpr + (1 - LOCAL_RIGHT) * fpr
    true = {"tpr": tpr, "fpr": fpr, "precision": LOCAL_RIGHT * tpr / accepted, "accepted": accepted}
    told: dict[str, list[bool]] = {name: [] for name in true}
    for _ in range(runs):
        served, chance = of_judge(rng, labels, truth, adaptive=adaptive)
        rates = confusion(served.score, served.right, chance, CUTOFF)
        for name, value in true.items():
            interval = getattr(rates, name)
            told[name].append(within(interval, value))
    for each in told.values():
        assert_covers(each, most=0.975)


@EFFORT
@LABELS
@DRAWN
@JUDGES
def test_the_area_under_the_curve(truth: float, adaptive: bool, labels: int, runs: int) -> None:
    rng, told = np.random.default_rng(labels), []
    for _ in range(runs):
        served, chance = of_judge(rng, labels, truth, adaptive=adaptive)
        interval = auroc(served.score, served.right, chance)
        told.append(within(interval, truth))
    assert_covers(told, most=0.97)


@EFFORT
@LABELS
@DRAWN
def test_the_brier_score(adaptive: bool, labels: int, runs: int) -> None:
    many = answers(np.random.default_rng(1), 1_000_000, 0.8)
    true = float(np.mean((many.posterior(0.8) - many.right) ** 2))
    rng, told = np.random.default_rng(labels), []
    for _ in range(runs):
        served, chance = of_judge(rng, labels, 0.8, adaptive=adaptive)
        interval = brier(served.posterior(0.8), served.right, chance)
        told.append(within(interval, true))
    assert_covers(told, most=0.97)


@EFFORT
@pytest.mark.parametrize("slope", [1.0, 0.7, 0.4], ids=["calibrated", "overconfident", "far-off"])
@pytest.mark.parametrize("labels", [300, 1000])
def test_the_calibration_error_of_its_bins(labels: int, slope: float, runs: int) -> None:
    rng, told, found = np.random.default_rng(labels), [], []
    for _ in range(runs):
        said, right, true = calibrated_bins(rng, slope, labels)
        error = calibration_error(said, right, np.full(labels, 0.2)).error
        told.append(within(error, true))
        found.append(error.estimate**2)
    assert_covers(told)
    assert np.mean(found) == pytest.approx(true**2, abs=0.003)


@EFFORT
@pytest.mark.parametrize("labels", [50, 150, 500])
@pytest.mark.parametrize("mistaken", [0.02, 0.1, 0.3])
def test_kappa_of_two_labellers(mistaken: float, labels: int, runs: int) -> None:
    rng, told = np.random.default_rng(labels), []
    for _ in range(runs):
        first, second, true = two_labellers(rng, mistaken, labels)
        told.append(within(cohens_kappa(first, second), true))
    assert_covers(told)
