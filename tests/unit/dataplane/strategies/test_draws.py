from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, LinearEstimator, SegmentDraws, ShadowTerms
from dataplane.features import Features, of_text
from dataplane.strategies import Drawn, Queries, State, draw, probabilities, probability
from dataplane.strategies.seeded import uniform
from tests.unit.dataplane.policies import policy, pool

SEEDS = range(20_000)
TEXT = of_text("What is 3 + 4?")
SOME = [of_text(f"query {number} of {number % 7}") for number in range(12)]
MODES = ["route", "cascade", "cascade_route", "always_cloud", "always_local"]


def drawn(
    document: PolicyDocument, answered: Sequence[str], seed: int, score: float | None = None
) -> tuple[Drawn, ...]:
    return draw(document, "default", TEXT, State(tuple(answered), score), seed)


def spread(uniform: float, slope: float, rate: float = 0.1, **fields: Any) -> PolicyDocument:
    """A policy that draws adaptively."""
    draws = SegmentDraws(uniform=uniform, slope=slope)
    return policy(audit=AuditTerms(rate=rate, segments=(draws,)), **fields)


def chance(document: PolicyDocument, features: Features, score: float | None) -> float:
    draws = document.audit.of("default")
    assert draws is not None
    return probability(document, draws, features, score)


def test_draws_fall_with_their_stated_probability() -> None:
    document = policy(audit=AuditTerms(rate=0.1), shadow=ShadowTerms(rate=0.03))
    found = [drawn(document, ["local"], seed) for seed in SEEDS]
    audits = sum(any(d.kind == "audit" for d in each) for each in found)
    shadows = sum(any(d.kind == "shadow" for d in each) for each in found)
    assert audits / len(SEEDS) == pytest.approx(0.1, abs=0.008)
    assert shadows / len(SEEDS) == pytest.approx(0.03, abs=0.005)
    for each in found:
        assert {d.kind for d in each} != {"shadow"}  # a shadow answer is always labelled
        assert all(d.probability == (0.1 if d.kind == "audit" else 0.03) for d in each)


@pytest.mark.parametrize("score", [None, -2.0, -0.4, -0.05])
def test_an_adaptive_draw_falls_with_the_probability_that_it_logs(score: float | None) -> None:
    document = spread(0.05, 0.4, shadow=ShadowTerms(rate=0.05))
    found = [drawn(document, ["local"], seed, score) for seed in range(3_000)]
    logged = {d.probability for each in found for d in each if d.kind == "audit"}
    assert logged == {chance(document, TEXT, score)}
    audits = sum(any(d.kind == "audit" for d in each) for each in found)
    assert audits / len(found) == pytest.approx(logged.pop(), abs=0.03)
    assert all({d.kind for d in each} != {"shadow"} for each in found)


@given(
    mode=st.sampled_from(MODES),
    lambda_=st.floats(0.0, 2.0),
    uniform=st.floats(0.001, 0.5),
    slope=st.floats(0.0, 0.5),
    scores=st.lists(st.none() | st.floats(-25, 1), min_size=12, max_size=12),
)
def test_every_query_has_a_chance_between_its_bounds_whichever_way_it_is_computed(
    mode: str, lambda_: float, uniform: float, slope: float, scores: list[float | None]
) -> None:
    document = spread(uniform, slope, segment={"mode": mode, "lambda_": lambda_})
    draws = document.audit.segments[0]
    columns = np.array([np.nan if score is None else score for score in scores])
    many = probabilities(document, draws, Queries.of(document, SOME, columns))
    assert ((many >= uniform) & (many <= draws.greatest)).all()
    assert [chance(document, *each) for each in zip(SOME, scores, strict=True)] == many.tolist()


def test_a_query_at_the_cutoff_is_drawn_more_often_than_one_far_from_it() -> None:
    even = (LinearEstimator(), LinearEstimator())  # p_hat .5, as of the typical query
    document, typical = spread(0.03, 0.2, estimators=even), Features(100, ())
    cutoff = document.segments[0].judge_cutoff
    assert chance(document, typical, cutoff) == pytest.approx(0.23, abs=1e-6)
    assert chance(document, typical, -0.01) < 0.18


def test_without_a_score_only_a_routing_threshold_is_near() -> None:
    by_mode = {
        mode: chance(spread(0.03, 0.2, segment={"mode": mode, "lambda_": 0.25}), TEXT, None)
        for mode in MODES
    }
    assert {by_mode[mode] for mode in ("cascade", "always_cloud", "always_local")} == {0.03}
    lambdas = np.linspace(0.05, 1.0, 96)
    routed = [
        chance(spread(0.03, 0.2, segment={"mode": "route", "lambda_": each}), TEXT, None)
        for each in lambdas.tolist()
    ]
    assert max(routed) > 0.2  # at the lambda at which this query flips
    assert min(routed) == 0.03


def test_a_shadow_calls_the_tier_that_was_silent() -> None:
    document = policy(audit=AuditTerms(rate=1.0), shadow=ShadowTerms(rate=1.0))
    assert [d.tier for d in drawn(document, ["local"], 1)] == [None, "cloud"]
    assert [d.tier for d in drawn(document, ["cloud"], 1)] == [None, "local"]
    assert [d.kind for d in drawn(document, ["local", "cloud"], 1)] == ["audit"]


def test_a_shadow_calls_every_tier_that_was_silent() -> None:
    document = pool(4, audit=AuditTerms(rate=1.0), shadow=ShadowTerms(rate=1.0))
    assert [d.tier for d in drawn(document, ["local"], 1)] == [None, "dear1", "dear2", "cloud"]
    assert [d.tier for d in drawn(document, ["local", "dear2"], 1)] == [None, "dear1", "cloud"]


def test_nothing_is_drawn_at_rate_zero() -> None:
    document = policy(audit=AuditTerms(), shadow=ShadowTerms())
    assert {drawn(document, ["local"], seed) for seed in range(200)} == {()}


def test_uniform_numbers_depend_on_seed_and_purpose_alone() -> None:
    assert uniform(7, "arm") == uniform(7, "arm")
    assert uniform(7, "arm") != uniform(7, "draw")
    numbers = [uniform(seed, "arm") for seed in SEEDS]
    assert 0 <= min(numbers) < 0.001 < 0.999 < max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.01)
