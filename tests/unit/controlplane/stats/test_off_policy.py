"""The laws that the three estimators keep, and what they refuse."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from controlplane.stats import OffPolicy, Refusal, dr, ips, snips

Array = NDArray[np.float64]
QUERIES = 400


def logged(seed: int, chance: float = 0.5) -> tuple[Array, Array, Array]:
    """Values of which a part is known, the chances of that, and all values."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0.0, 0.5, 1.0], QUERIES, p=[0.3, 0.1, 0.6])
    chances = rng.uniform(chance / 2, chance, QUERIES)
    return np.where(rng.uniform(size=QUERIES) < chances, truth, np.nan), chances, truth


def told(found: OffPolicy | Refusal) -> OffPolicy:
    assert isinstance(found, OffPolicy), found
    return found


def refused(value: Array, chance: Array) -> str:
    """Why; the same of all three."""
    found = {ips(value, chance), snips(value, chance), dr(value, chance, np.full(len(value), 0.5))}
    (refusal,) = found
    assert isinstance(refusal, Refusal)
    assert refusal.words == f"{refusal.reason} {refusal.remedy}"
    assert refusal.words.count(". ") == 1
    return refusal.reason


@given(st.integers(0, 2**32))
def test_with_a_perfect_model_weights_add_nothing(seed: int) -> None:
    value, chance, truth = logged(seed)
    assert told(dr(value, chance, truth)).interval.estimate == pytest.approx(truth.mean())


@given(st.integers(0, 2**32), st.floats(0.1, 1.0))
def test_only_the_ratios_of_chances_count_where_weights_are_normalised(
    seed: int, scale: float
) -> None:
    value, chance, _ = logged(seed)
    plain, scaled = snips(value, chance), snips(value, scale * chance)
    assert told(scaled).interval.estimate == pytest.approx(told(plain).interval.estimate)
    assert told(scaled).effective_labels == pytest.approx(told(plain).effective_labels)


@given(st.integers(0, 2**32))
def test_without_a_model_the_corrected_mean_is_the_weighted_one(seed: int) -> None:
    value, chance, _ = logged(seed)
    assert dr(value, chance, np.zeros(QUERIES)) == ips(value, chance)


@given(st.integers(0, 2**32))
def test_where_all_is_known_it_is_the_mean(seed: int) -> None:
    _, _, truth = logged(seed)
    ones = np.ones(QUERIES)
    for found in (ips(truth, ones), snips(truth, ones), dr(truth, ones, 1 - truth)):
        interval = told(found).interval
        assert interval.estimate == pytest.approx(truth.mean())
        assert interval.high - interval.low == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 2**32), st.floats(0.5, 0.99))
def test_more_confidence_makes_it_wider(seed: int, confidence: float) -> None:
    value, chance, _ = logged(seed)
    for estimator in (ips, snips):
        narrow = told(estimator(value, chance, confidence)).interval
        wide = told(estimator(value, chance, 0.995)).interval
        assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high


def test_over_all_draws_the_mean_is_the_truth() -> None:
    """Each query known or not in every way that some four of them may be, the rest for certain."""
    truth = np.tile([1.0, 0.0, 1.0, 1.0, 0.5], 20)
    model = np.tile([0.9, 0.3, 0.2, 0.7, 0.5], 20)
    chance = np.ones(100)
    chance[:4] = [0.5, 0.6, 0.8, 0.9]
    by_weight = corrected = total = 0.0
    for drawn in product([True, False], repeat=4):
        happens = float(np.prod(np.where(drawn, chance[:4], 1 - chance[:4])))
        value = truth.copy()
        value[:4][~np.array(drawn)] = np.nan
        by_weight += happens * told(ips(value, chance)).interval.estimate
        corrected += happens * told(dr(value, chance, model)).interval.estimate
        total += happens
    assert total == pytest.approx(1)
    assert by_weight == pytest.approx(truth.mean())
    assert corrected == pytest.approx(truth.mean())


@given(st.integers(1, int(0.05 * QUERIES)), st.integers(0, 2**32))
def test_of_what_cannot_be_reached_nothing_is_supposed(hidden: int, seed: int) -> None:
    value, chance, _ = logged(seed)
    assume(np.isfinite(value[hidden:]).sum() > 80)
    value[:hidden], chance[:hidden] = np.nan, 0.0
    share = hidden / QUERIES
    model = np.full(QUERIES, 0.6)
    for found, rest in (
        (ips(value, chance), ips(value[hidden:], chance[hidden:])),
        (snips(value, chance), snips(value[hidden:], chance[hidden:])),
        (dr(value, chance, model), dr(value[hidden:], chance[hidden:], model[hidden:])),
    ):
        all_, seen = told(found), told(rest).interval
        assert all_.unreachable == pytest.approx(share)
        assert all_.interval.low == pytest.approx((1 - share) * seen.low)
        assert all_.interval.high == pytest.approx((1 - share) * seen.high + share)
        assert all_.interval.estimate == pytest.approx(seen.estimate)


def test_a_policy_that_the_log_never_met_is_refused() -> None:
    value, chance, _ = logged(1)
    value[:30], chance[:30] = np.nan, 0.0
    assert "7.5 % of the queries want could not come to be known" in refused(value, chance)


@pytest.mark.parametrize("labels", [0, 1, 49])
def test_few_labels_are_refused(labels: int) -> None:
    value = np.where(np.arange(QUERIES) < labels, 1.0, np.nan)
    assert f"{labels} labels tell of it" in refused(value, np.full(QUERIES, 0.1))
    enough = np.where(np.arange(QUERIES) < 50, 1.0, np.nan)
    assert told(snips(enough, np.full(QUERIES, 0.1))).labels == 50


def test_many_labels_that_are_worth_few_are_refused() -> None:
    """Nine in ten of them stand for one query each."""
    chance = np.where(np.arange(1000) < 300, 0.999, 0.02)
    value = np.where(np.arange(1000) < 320, 1.0, np.nan)
    assert "320 labels tell of it, worth 34" in refused(value, chance)


def test_one_label_that_outweighs_the_others_is_refused() -> None:
    chance = np.full(1000, 0.1)
    chance[0] = 0.1 / 24
    value = np.where(np.arange(1000) < 200, 1.0, np.nan)
    assert "One label has 11 % of all weight" in refused(value, chance)


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1, np.inf, 0.0])
def test_what_is_no_probability_of_what_is_known_is_refused(wrong: float) -> None:
    value, chance, _ = logged(1)
    value[7], chance[7] = 1.0, wrong
    assert "no probabilities" in refused(value, chance)


def test_an_empty_log_is_refused() -> None:
    assert "0 labels" in refused(np.array([]), np.array([]))


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_values_outside_the_unit_interval_are_errors(wrong: float) -> None:
    value, chance, truth = logged(1)
    value[0] = wrong
    for estimate in (ips, snips, lambda v, c: dr(v, c, truth)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            estimate(value, chance)
