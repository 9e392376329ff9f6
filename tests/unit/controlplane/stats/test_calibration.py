import numpy as np
import pytest

from controlplane.stats import brier, calibration_error


def test_the_brier_score_of_chances_that_stand_for_more() -> None:
    predicted, right = np.array([1.0, 0.5]), np.array([True, False])
    assert brier(predicted, right, np.array([0.5, 0.25])).estimate == pytest.approx(1 / 6)


def test_without_labels_a_brier_score_is_unknown() -> None:
    nothing = brier(np.empty(0), np.empty(0, dtype=bool), np.empty(0))
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_bins_hold_equal_mass_and_ten_labels_or_more() -> None:
    rng = np.random.default_rng(1)
    predicted = rng.uniform(size=200)
    found = calibration_error(predicted, rng.uniform(size=200) < predicted, np.ones(200))
    assert [each.labels for each in found.bins] == [20] * 10
    assert len(calibration_error(predicted[:35], predicted[:35] > 0.5, np.ones(35)).bins) == 3


def test_equal_predictions_share_a_bin() -> None:
    predicted = np.repeat([0.2, 0.8], 50)
    found = calibration_error(predicted, np.arange(100) % 2 == 0, np.ones(100))
    assert [each.predicted for each in found.bins] == pytest.approx([0.2, 0.8])
    assert found.error.estimate == pytest.approx(np.sqrt(0.09 - 0.25 / 49), abs=1e-9)


def test_a_calibrated_judge_shows_no_error_where_the_plain_binned_one_would() -> None:
    rng, plain, debiased = np.random.default_rng(2), [], []
    for _ in range(200):
        predicted = np.repeat(np.linspace(0.05, 0.95, 10), 30)
        right = rng.uniform(size=300) < predicted
        found = calibration_error(predicted, right, np.ones(300))
        gaps = [(each.predicted - each.right.estimate) ** 2 for each in found.bins]
        plain.append(np.mean(gaps))
        debiased.append(found.error.estimate**2)
    assert np.sqrt(np.mean(plain)) > 0.06
    assert np.mean(debiased) < 0.3 * np.mean(plain)


def test_no_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="no labels"):
        calibration_error(np.empty(0), np.empty(0, dtype=bool), np.empty(0))


def test_the_weighted_brier_score_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    predicted, chance = rng.uniform(size=200), rng.uniform(0.1, 0.9, size=200)
    right = rng.uniform(size=200) < predicted
    theirs = metrics.brier_score_loss(right, predicted, sample_weight=1 / chance)
    assert brier(predicted, right, chance).estimate == pytest.approx(theirs)
