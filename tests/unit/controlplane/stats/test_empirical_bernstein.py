import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from controlplane.stats import aipw_scores, empirical_bernstein_band
from controlplane.stats.empirical_bernstein import SPREAD, boundary, log_mixture

ALPHA = 0.025


@pytest.mark.parametrize(("total", "squares"), [(3.0, 5.0), (20.0, 40.0), (-2.0, 10.0)])
def test_the_mixture_is_the_integral_that_it_is_said_to_be(total: float, squares: float) -> None:
    tuned_for = 100.0
    rho = SPREAD * tuned_for / (-2 * np.log(ALPHA) + np.log1p(-2 * np.log(ALPHA)))

    def density(l: float) -> float:  # noqa: E741 - the papers' lambda
        return float((1 - l) ** (rho - 1) * np.exp(-rho * (1 - l)))

    def wealth(l: float) -> float:  # noqa: E741 - the papers' lambda
        return float(density(l) * np.exp(l * total + (np.log(1 - l) + l) * squares))

    expected = quad(wealth, 0, 1)[0] / quad(density, 0, 1)[0]
    found = log_mixture(np.array(total), np.array(squares), ALPHA, tuned_for)
    assert np.exp(found) == pytest.approx(expected)


@given(st.floats(-1, 5), st.floats(0, 0.999))
def test_the_inequality_under_it(x: float, stake: float) -> None:
    """exp(l x + (log(1 - l) + l) x^2) <= 1 + l x for x >= -1: one bet's supermartingale."""
    assert np.exp(stake * x + (np.log1p(-stake) + stake) * x * x) <= 1 + stake * x + 1e-9


def test_the_boundary_is_where_the_evidence_is_one_over_alpha_and_grows() -> None:
    squares = np.array([0.0, 1, 10, 10, 1000])
    reach = boundary(squares, ALPHA)
    assert log_mixture(reach, squares, ALPHA) == pytest.approx(-np.log(ALPHA))
    assert (np.diff(reach) >= 0).all()
    assert reach[2] == reach[3]


def test_a_stream_without_labels_is_not_known() -> None:
    nothing = aipw_scores(np.full(5, 0.5), np.full(5, 0.1), np.full(5, np.nan))
    band = empirical_bernstein_band(nothing, 0.1)
    assert (band.low == 0).all()
    assert (band.high == 1).all()
