"""The parameters of the draw: the mean keeps to the rate, and the rate to what a budget leaves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.audit import sample
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import AuditTerms, SegmentDraws, ShadowTerms
from dataplane.strategies import Queries, probabilities
from tests.unit.dataplane.policies import policy

MODES = ["route", "cascade", "cascade_route", "always_cloud"]


def traffic(seed: int, count: int = 300) -> Queries:
    """Queries of which some two thirds were judged."""
    rng = np.random.default_rng(seed)
    p_hat = rng.uniform(0.05, 0.95, (count, 2))
    score = np.where(rng.uniform(size=count) < 0.65, -rng.gamma(0.7, 1.0, count), np.nan)
    return Queries(p_hat, rng.uniform(20, 400, count), score, np.zeros(count, np.intp))


def document(
    rate: float, shadow: float = 0.01, lambda_: float = 0.3, mode: str = "cascade_route"
) -> PolicyDocument:
    segment = {"mode": mode, "lambda_": lambda_}
    return policy(audit=AuditTerms(rate=rate), shadow=ShadowTerms(rate=shadow), segment=segment)


def chances(drawn: PolicyDocument, seen: Queries) -> Array:
    draws = drawn.audit.of("default")
    assert draws is not None
    return probabilities(drawn, draws, seen)


@given(
    seed=st.integers(0, 50),
    rate=st.floats(0.005, 1.0),
    shadow=st.floats(0.0, 1.0),
    floor=st.floats(0.05, 1.0),
    lambda_=st.floats(0.01, 2.0),
    mode=st.sampled_from(MODES),
)
def test_the_mean_is_the_rate_and_every_chance_within_its_bounds(
    seed: int, rate: float, shadow: float, floor: float, lambda_: float, mode: str
) -> None:
    seen, plain = traffic(seed), document(rate, shadow, lambda_, mode)
    drawn = plain.replaced(audit=sample.drawing(plain, seen, floor))
    chance = chances(drawn, seen)
    assert chance.mean() == pytest.approx(rate, rel=1e-3)
    slack = 1 - 1e-3
    assert chance.min() >= slack * max(floor * rate, min(rate, shadow), min(rate, sample.LEAST))
    assert chance.max() <= min(1.0, sample.RATIO * chance.min() / slack)
    assert sample.keeps(drawn, seen)


def test_a_part_is_drawn_where_labels_are_worth_most() -> None:
    plain, seen = document(0.08), traffic(1)
    drawn = plain.replaced(audit=sample.drawing(plain, seen, 0.3))
    assert drawn.audit.segments[0].slope > 0.05
    assert chances(drawn, seen).std() > 0.01


@pytest.mark.parametrize("mode", ["always_cloud", "always_local"])
def test_where_nothing_is_decided_draws_are_uniform(mode: str) -> None:
    plain, seen = document(0.08, mode=mode), traffic(1)
    unjudged = replace(seen, score=np.full_like(seen.score, np.nan))
    assert sample.drawing(plain, unjudged, 0.3) == plain.audit


def test_a_floor_of_one_is_uniform() -> None:
    plain = document(0.08)
    assert sample.drawing(plain, traffic(1), 1.0) == plain.audit


def test_terms_that_no_longer_give_the_rate_do_not_keep() -> None:
    plain, seen = document(0.08), traffic(1)
    drawn = plain.replaced(audit=sample.drawing(plain, seen, 0.3))
    elsewhere = replace(
        seen, p_hat=np.full_like(seen.p_hat, 0.97), score=np.full(len(seen.chars), -0.01)
    )
    assert not sample.keeps(drawn, elsewhere)
    assert sample.keeps(plain, elsewhere)


@given(
    seed=st.integers(0, 20),
    rate=st.floats(0.01, 0.3),
    first=st.floats(0.001, 1.0),
    second=st.floats(0.001, 1.0),
)
def test_a_ration_scales_the_mean_and_is_lifted_again(
    seed: int, rate: float, first: float, second: float
) -> None:
    plain, seen = document(rate, shadow=rate), traffic(seed)
    plain = plain.replaced(audit=sample.drawing(plain, seen, 0.3))
    limited = sample.rationed(plain, {"default": first})
    again = sample.rationed(limited, {"default": second})
    for each, most in ((limited, first), (again, second)):
        assert each.audit.mean("default") == min(rate, most)
        assert chances(each, seen).mean() == pytest.approx(min(rate, most), rel=1e-3)
        assert each.shadow.rate <= chances(each, seen).min() + 1e-9
    assert sample.rationed(again, {"default": 1.0}).audit.mean("default") == rate


def test_a_learners_new_rate_stays_within_the_ration() -> None:
    limited = sample.rationed(document(0.05), {"default": 0.02})
    more = sample.at_rate(limited.audit, 0.2, ["default"])
    assert (more.rate, more.mean("default")) == (0.2, 0.02)
    drawn = limited.replaced(audit=more, shadow=ShadowTerms())
    drawn = drawn.replaced(audit=sample.drawing(drawn, traffic(1), 0.3))
    assert chances(drawn, traffic(1)).mean() == pytest.approx(0.02, rel=1e-3)


def test_a_segment_that_a_new_policy_does_not_have_is_not_named() -> None:
    limited = (SegmentDraws(segment=name, most=0.02, uniform=0.01) for name in ("default", "code"))
    audit = AuditTerms(rate=0.1, segments=tuple(limited))
    (kept,) = sample.at_rate(audit, 0.1, ["default"]).segments
    assert (kept.segment, kept.most, kept.uniform) == ("default", 0.02, 0.02)


def test_without_an_audit_there_is_nothing_to_ration() -> None:
    plain = document(0.0)
    assert sample.rationed(plain, {"default": 0.1}) == plain
    assert sample.at_rate(AuditTerms(rate=0.1, segments=(SegmentDraws(uniform=0.1),)), 0.0, []) == (
        AuditTerms()
    )


def test_only_a_mean_that_moves_is_worth_a_policy() -> None:
    plain = document(0.1)
    near, far = (sample.rationed(plain, {"default": most}) for most in (0.095, 0.08))
    assert not sample.moved(plain.audit, near.audit)
    assert sample.moved(plain.audit, far.audit)
    assert sample.moved(far.audit, plain.audit)
