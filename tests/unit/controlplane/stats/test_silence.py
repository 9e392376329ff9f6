import numpy as np
import pytest

from controlplane.stats import Survey, hajek_mean, worst_case


def survey(value: list[float]) -> Survey:
    values = np.array(value)
    return Survey(values, np.full(len(values), 0.5), np.full(len(values), 0.2), 0.5, 1000)


def test_without_silence_the_bounds_are_the_interval() -> None:
    told = survey([1.0] * 30 + [0.0] * 10)
    bounds = worst_case(told, hajek_mean)
    assert bounds.lowest == bounds.highest == bounds.interval == hajek_mean(told)
    assert bounds.silent == 0


def test_silence_may_hide_either() -> None:
    bounds = worst_case(survey([1.0] * 30 + [0.0] * 10 + [np.nan] * 10), hajek_mean)
    assert (bounds.lowest.estimate, bounds.highest.estimate) == pytest.approx((0.6, 0.8))
    assert bounds.silent == pytest.approx(0.2)
    assert bounds.interval.low == bounds.lowest.low
    assert bounds.interval.high == bounds.highest.high


def test_nothing_drawn_is_nothing_known() -> None:
    bounds = worst_case(survey([]), hajek_mean)
    assert (bounds.interval.low, bounds.interval.high, bounds.silent) == (0.0, 1.0, 0.0)
