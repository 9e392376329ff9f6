import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from controlplane.stats import by_variance, clopper_pearson, wilson

SHARES = st.floats(0.01, 0.99)


@given(SHARES, st.integers(2, 10_000))
def test_a_binomial_variance_known_well_gives_wilsons_interval(p: float, n: int) -> None:
    known, direct = by_variance(p, p * (1 - p) / n, 1e9), wilson(p, n)
    assert (known.low, known.high) == pytest.approx((direct.low, direct.high), abs=1e-6)


@given(SHARES, st.floats(1e-6, 1.0), st.floats(1, 1e6))
def test_the_estimate_lies_within_and_a_doubtful_variance_widens(
    p: float, variance: float, labels: float
) -> None:
    doubtful, surer = by_variance(p, variance, labels), by_variance(p, variance, 10 * labels)
    assert 0 <= doubtful.low <= surer.low <= p <= surer.high <= doubtful.high <= 1


@pytest.mark.parametrize("variance", [0.0, float("nan"), float("inf")])
def test_a_variance_that_says_nothing_leaves_the_labels_to_count(variance: float) -> None:
    assert by_variance(0.9, variance, 40) == wilson(0.9, 40)


@pytest.mark.parametrize(("successes", "n"), [(0, 12), (3, 40), (40, 40)])
def test_clopper_pearson_is_scipys(successes: int, n: int) -> None:
    exact = binomtest(successes, n).proportion_ci(0.9, method="exact")
    interval = clopper_pearson(successes, n, 0.9)
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize(("successes", "n"), [(0, 12), (3, 40), (40, 40)])
def test_wilson_is_scipys(successes: int, n: int) -> None:
    score = binomtest(successes, n).proportion_ci(0.9, method="wilson")
    interval = wilson(successes / n, n, 0.9)
    assert (interval.low, interval.high) == pytest.approx((score.low, score.high), abs=1e-12)
