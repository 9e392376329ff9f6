import numpy as np
import pytest

from controlplane.stats import confusion, rate, wilson


def test_equal_chances_give_wilsons_intervals() -> None:
    score = np.repeat([0.9, 0.1, 0.9, 0.1], [60, 20, 15, 25])
    right = np.repeat([True, True, False, False], [60, 20, 15, 25])
    rates = confusion(score, right, np.full(120, 0.1), 0.5)
    for found, (hits, n) in (
        (rates.tpr, (60, 80)),
        (rates.fpr, (15, 40)),
        (rates.precision, (60, 75)),
        (rates.accepted, (75, 120)),
    ):
        direct = wilson(hits / n, n)
        assert found.estimate == pytest.approx(hits / n)
        assert found.low == pytest.approx(direct.low, abs=0.002)


def test_rarely_drawn_labels_stand_for_more() -> None:
    hit, chance = np.array([True] * 20 + [False] * 20), np.repeat([0.5, 0.1], 20)
    assert rate(hit, 1 / chance).estimate == pytest.approx(1 / 6)


def test_a_rate_with_nothing_under_it_says_nothing() -> None:
    all_right = confusion(np.ones(5), np.ones(5, dtype=bool), np.ones(5), 0.5)
    assert (all_right.fpr.low, all_right.fpr.high) == (0.0, 1.0)


def test_few_hits_are_given_kishs_number() -> None:
    hit, weight = np.arange(60) < 3, np.linspace(1, 5, 60)
    kish = weight.sum() ** 2 / (weight @ weight)
    assert rate(hit, weight) == wilson(float(weight @ hit / weight.sum()), kish)


def test_hits_that_are_drawn_less_often_are_missed_more_easily() -> None:
    """No wrong answer accepted among labels of which accepted ones stand for three times as many:
    as many labels count as if all were drawn as rarely."""
    score = np.repeat([0.9, 0.1, 0.1], [30, 30, 60])
    right = np.repeat([True, True, False], [30, 30, 60])
    chance = np.where(score > 0.5, 0.1, 0.3)
    assert confusion(score, right, chance, 0.5).fpr.high == pytest.approx(wilson(0.0, 20).high)
