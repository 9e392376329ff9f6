import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.contract import rule

RAW = np.array([-2.0, -1.0, -0.5, -0.1])
probability = st.floats(0.02, 0.98)
price = st.floats(0.0, 3.0)


@st.composite
def beliefs(draw: st.DrawFn) -> rule.Beliefs:
    """Beliefs whose bins favour a right answer the higher they are."""
    ratio = np.exp(np.sort(np.array(draw(st.lists(st.floats(-3, 3), min_size=4, max_size=4)))))
    share = draw(st.floats(0.1, 0.9))
    marginal = np.full(4, 0.25)
    f0 = marginal / (share * ratio + 1 - share)
    f0 /= f0.sum()
    f1 = f0 * ratio / (f0 * ratio).sum()
    g = np.full(4, draw(probability))
    b = np.full(4, draw(st.floats(0.0, 0.3)))
    return rule.believe(draw(probability), f1, f0, g, b)


costs = st.builds(
    rule.Costs, local=st.floats(0, 0.2), judge=st.floats(0, 0.2), cloud=st.floats(0.5, 2)
)


@given(beliefs())
def test_bins_are_a_distribution_and_average_to_the_prior(b: rule.Beliefs) -> None:
    assert b.bin_probability.sum() == pytest.approx(1)
    assert (b.bin_probability * b.p_after).sum() == pytest.approx(float(b.p))


@given(beliefs())
def test_escalation_averages_to_the_cloud(b: rule.Beliefs) -> None:
    averaged = (b.bin_probability * rule.escalated_quality(b)).sum()
    assert averaged == pytest.approx(float(rule.cloud_quality(b)))


@given(beliefs(), costs, price)
def test_judging_free_of_charge_never_loses(b: rule.Beliefs, c: rule.Costs, lambda_: float) -> None:
    free = rule.Costs(c.local, 0.0, c.cloud)
    values = rule.value(b, free, lambda_)
    after_local = float(values.cloud) - lambda_ * c.local  # the local answer is paid for already
    assert float(values.judged) >= max(float(values.local), after_local) - 1e-9


@given(beliefs(), costs, price)
def test_values_fall_as_lambda_rises(b: rule.Beliefs, c: rule.Costs, lambda_: float) -> None:
    now, later = rule.value(b, c, lambda_), rule.value(b, c, lambda_ + 0.1)
    for name in ("local", "cloud", "judged"):
        assert getattr(later, name) <= getattr(now, name) + 1e-12


@given(beliefs(), costs, price)
def test_the_cutoff_falls_as_lambda_rises(b: rule.Beliefs, c: rule.Costs, lambda_: float) -> None:
    at, later = (float(rule.cutoff(b, c, x, RAW, -20, 0.01)) for x in (lambda_, lambda_ + 0.1))
    assert later <= at + 1e-9


@given(beliefs(), costs, price)
def test_the_cutoff_parts_bins_that_escalate_from_those_that_do_not(
    b: rule.Beliefs, c: rule.Costs, lambda_: float
) -> None:
    cutoff = float(rule.cutoff(b, c, lambda_, RAW, -20, 0.01))
    margin = b.p_after - rule.after_escalation(b, c, lambda_)
    assert (margin[cutoff < RAW] >= 0).all()
    if (margin < 0).all():
        assert cutoff == 0.01
    if (margin >= 0).all():
        assert cutoff == -20


@given(beliefs(), costs, st.floats(0, 0.4))
def test_indifference_is_where_routing_flips(
    b: rule.Beliefs, c: rule.Costs, lambda_: float
) -> None:
    values = rule.value(b, c, lambda_)
    threshold = float(rule.indifference(b, c, lambda_))
    if 0 < threshold < 1 and abs(float(b.p) - threshold) > 1e-6:
        assert (float(b.p) < threshold) == (float(values.cloud) > float(values.local))


@given(beliefs(), costs, st.lists(price, min_size=2, max_size=5))
def test_many_lambdas_at_once_are_bitwise_each_alone(
    b: rule.Beliefs, c: rule.Costs, lambdas: list[float]
) -> None:
    together = rule.value(b, c, np.array(lambdas))
    cutoffs = rule.cutoff(b, c, np.array(lambdas), RAW, -20, 0.01)
    for i, lambda_ in enumerate(lambdas):
        alone = rule.value(b, c, lambda_)
        assert float(alone.judged) == together.judged[i]
        assert float(alone.cloud) == together.cloud[i]
        assert float(rule.cutoff(b, c, lambda_, RAW, -20, 0.01)) == cutoffs[i]


def test_logit_and_expit_are_inverse_and_bounded() -> None:
    p = np.array([0.0, 1e-9, 0.2, 0.5, 1.0])
    assert np.isfinite(rule.logit(p)).all()
    np.testing.assert_allclose(rule.expit(rule.logit(p[2:4])), p[2:4])
    assert float(rule.expit(1e6)) <= 1.0
