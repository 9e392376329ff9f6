import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.stats import Disagreement, Refusal, disagreement, snips


def told(found: Disagreement | Refusal) -> Disagreement:
    assert isinstance(found, Disagreement), found
    return found


@given(st.integers(0, 2**32), st.floats(0.2, 1.0))
def test_it_is_antisymmetric(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    differ = rng.uniform(size=1000) < share
    chance = rng.uniform(0.4, 0.8, 1000)
    known = rng.uniform(size=1000) < chance
    apart = np.where(known, rng.choice([-1.0, 0.0, 1.0], 1000), np.nan)
    one, other = (told(disagreement(sign * apart, chance, differ)) for sign in (1, -1))
    assert one.effect.estimate == pytest.approx(-other.effect.estimate)
    assert one.effect.low == pytest.approx(-other.effect.high)
    assert one.share == other.share


def test_labels_of_what_both_serve_alike_change_nothing() -> None:
    rng = np.random.default_rng(3)
    differ = np.arange(1000) < 300
    apart = np.where(differ, rng.choice([-1.0, 1.0], 1000), np.nan)
    chance = np.where(differ, 1.0, 0.3)
    seen_too = np.where(differ, apart, 0.0)
    assert disagreement(apart, chance, differ) == disagreement(seen_too, chance, differ)


def test_where_they_part_it_is_the_weighted_mean() -> None:
    rng = np.random.default_rng(4)
    apart, chance = rng.choice([-1.0, 0.0, 1.0], 500), rng.uniform(0.3, 0.9, 500)
    apart[rng.uniform(size=500) > chance] = np.nan
    found = told(disagreement(apart, chance, np.arange(500) < 400))
    plain = snips((apart[:400] + 1) / 2, chance[:400])
    assert not isinstance(plain, Refusal)
    assert found.difference.estimate == pytest.approx(2 * plain.interval.estimate - 1)
    assert found.effect.estimate == pytest.approx(0.8 * found.difference.estimate)
    assert found.effective_labels == plain.effective_labels


def test_policies_that_never_part_are_as_good_as_each_other() -> None:
    found = told(disagreement(np.full(1000, np.nan), np.zeros(1000), np.zeros(1000, dtype=bool)))
    assert (found.effect.low, found.effect.high) == (0, 0)
    assert (found.difference.low, found.difference.high) == (-1, 1)
    assert 0 < found.share.high < 0.004


def test_labels_that_say_nothing_of_where_they_part_are_refused() -> None:
    differ = np.arange(1000) < 100
    found = disagreement(np.where(differ, np.nan, 0.0), np.full(1000, 0.5), differ)
    assert isinstance(found, Refusal)
    assert "0 labels tell of it" in found.reason
