import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.learn.cusum import ODDS, Cusum, LabelCharts, log_ratio
from controlplane.learn.evidence import Record
from dataplane.contract.rule import Array
from tests.unit.dataplane.policies import policy

FELL, ROSE = 1 / ODDS, ODDS
P_HAT = (0.7, 0.8)


@given(st.floats(1e-6, 1 - 1e-6), st.sampled_from((FELL, ROSE)))
def test_a_likelihood_ratio_is_one_on_average_while_labels_are_as_expected(
    expected: float, odds: float
) -> None:
    right, wrong = (np.exp(log_ratio(expected, label, odds)) for label in (1.0, 0.0))
    assert expected * right + (1 - expected) * wrong == pytest.approx(1.0)


@given(st.floats(0.01, 0.99), st.floats(0, 1), st.sampled_from((FELL, ROSE)))
def test_a_grade_in_between_counts_as_its_shares(
    expected: float, grade: float, odds: float
) -> None:
    right, wrong = (log_ratio(expected, label, odds) for label in (1.0, 0.0))
    told = log_ratio(expected, grade, odds)
    assert told == pytest.approx(grade * right + (1 - grade) * wrong)


def alarm_after(expected: Array, right: Array, chart: Cusum) -> tuple[int, int] | None:
    """After how many labels it alarms, and since when it says that they are others."""
    for at, (p, label) in enumerate(zip(expected.tolist(), right.tolist(), strict=True)):
        since = chart.update(p, label, at)
        if since is not None:
            return at, since
    return None


def test_it_alarms_soon_after_a_change_and_seldom_without_one() -> None:
    rng = np.random.default_rng(1)
    expected = rng.beta(6, 3, (60, 4_000))
    right = rng.random(expected.shape) < expected
    false = sum(
        alarm_after(*each, Cusum()) is not None for each in zip(expected, right, strict=True)
    )
    assert false <= 20  # of 240,000 labels
    for kept, most in ((0.75, 300), (1.25, 300)):
        after = np.minimum(expected * kept, 1.0)
        changed = np.where(np.arange(4_000) < 500, expected, after)
        labels = rng.random(expected.shape) < changed
        found = [alarm_after(*each, Cusum()) for each in zip(expected, labels, strict=True)]
        ends = np.array([each for each in found if each is not None and each[0] >= 500])
        assert len(ends) >= 45  # the others alarmed before it
        assert np.median(ends[:, 0]) <= 500 + most
        assert abs(np.median(ends[:, 1]) - 500) <= 30  # and it knows since when


def record(score: float | None, right: tuple[float | None, float | None]) -> Record:
    return Record(0, (0.0, 0.0), 20, 100, score, right, (0.1, 0.1))


def test_each_tier_is_held_against_what_was_expected_of_it_given_the_score() -> None:
    for wrong_tier in (0, 1):
        charts = LabelCharts()
        assert charts.see(record(None, (0.0, 0.0)), P_HAT, 0) is None  # nothing is expected yet
        charts.expect(policy(), (True, True))
        assert failing(charts, wrong_tier)


def test_of_a_tier_of_which_little_is_known_nothing_is_expected() -> None:
    charts = LabelCharts()
    charts.expect(policy(), (True, False))
    assert not failing(charts, 1)
    assert failing(charts, 0)
    charts.expect(policy(), (False, True))  # it was forgotten
    assert not failing(charts, 0)


def failing(charts: LabelCharts, tier: int) -> bool:
    """Whether 200 wrong answers of that tier, of which half are judged, raise an alarm."""
    labels = (0.0, None) if tier == 0 else (None, 0.0)
    scores = (-0.1, None) * 100
    alarms = [charts.see(record(score, labels), P_HAT, at) for at, score in enumerate(scores)]
    return any(since is not None for since in alarms)


def test_it_survives_a_restart() -> None:
    rng = np.random.default_rng(2)
    one, other = LabelCharts(), LabelCharts()
    one.expect(policy(), (True, True))
    for at in range(50):
        one.see(record(-float(rng.random()), (float(rng.random() < 0.6), None)), P_HAT, at)
    other.restore(json.loads(json.dumps(one.state())))
    assert other.state() == one.state()
    for at in range(50, 400):
        each = record(-float(rng.random()), (float(rng.random() < 0.3), 1.0))
        assert one.see(each, P_HAT, at) == other.see(each, P_HAT, at)


def test_of_other_tiers_nothing_is_expected_before_the_next_draft() -> None:
    charts = LabelCharts()
    charts.expect(policy(), (True, True))
    charts.restart()
    three = Record(0, (0.0,) * 3, 20, 100, None, (0.0,) * 3, (0.1,) * 3)
    assert [charts.see(three, (0.7, 0.8, 0.9), at) for at in range(200)] == [None] * 200
    charts.expect(policy(), (True, True))
    assert failing(charts, 0)
