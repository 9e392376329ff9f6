import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from controlplane.stats import certify, share_of_delta
from controlplane.stats.certificate import upper_bound

BINS = 6
QUERIES = st.lists(st.tuples(st.integers(0, BINS - 1), st.booleans()), min_size=1, max_size=200)


def columns(queries: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    bin_of, loss = zip(*queries, strict=True)
    return np.array(bin_of), np.array(loss)


@given(QUERIES, st.floats(0.02, 0.5))
def test_it_is_the_loosest_below_its_limit_and_the_next_is_not(
    queries: list[tuple[int, bool]], limit: float
) -> None:
    bin_of, loss = columns(queries)
    found = certify(bin_of, loss, BINS, limit)
    assert found.risk <= limit
    assert found.losses == int(loss[bin_of >= found.least_bin].sum())
    if found.least_bin > 0:
        looser = int(loss[bin_of >= found.least_bin - 1].sum())
        assert upper_bound(looser, len(loss), 0.1) > limit


@given(QUERIES, st.floats(0.02, 0.5), st.floats(0.02, 0.4))
def test_a_lower_limit_or_more_certainty_is_never_looser(
    queries: list[tuple[int, bool]], limit: float, delta: float
) -> None:
    bin_of, loss = columns(queries)
    found = certify(bin_of, loss, BINS, limit, delta).least_bin
    assert certify(bin_of, loss, BINS, limit / 2, delta).least_bin >= found
    assert certify(bin_of, loss, BINS, limit, delta / 2).least_bin >= found


@given(st.integers(0, 50), st.floats(0.01, 0.4))
def test_the_bound_is_where_so_few_losses_have_probability_delta(losses: int, delta: float) -> None:
    bound = upper_bound(losses, 60, delta)
    assert binom.cdf(losses, 60, bound) == pytest.approx(delta, abs=1e-6)


def test_without_labels_nothing_may_be_accepted() -> None:
    nothing = certify(np.empty(0, dtype=np.intp), np.empty(0, dtype=bool), BINS, 0.5)
    assert (nothing.least_bin, nothing.risk, nothing.accepted) == (BINS, 0.0, 0.0)


def test_all_shares_together_make_delta() -> None:
    assert sum(share_of_delta(0.1, attempt) for attempt in range(1, 10_000)) < 0.1
    with pytest.raises(ValueError, match="count from 1"):
        share_of_delta(0.1, 0)


def test_a_bin_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="bins must lie"):
        certify(np.array([BINS]), np.array([False]), BINS, 0.1)
