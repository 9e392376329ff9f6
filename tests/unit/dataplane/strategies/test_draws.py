import pytest

from dataplane.contract.terms import AuditTerms, ShadowTerms
from dataplane.strategies import draw
from dataplane.strategies.seeded import uniform
from tests.unit.dataplane.policies import policy, pool

SEEDS = range(20_000)


def test_draws_fall_with_their_stated_probability() -> None:
    document = policy(audit=AuditTerms(rate=0.1), shadow=ShadowTerms(rate=0.03))
    drawn = [draw(document, ("local",), seed) for seed in SEEDS]
    audits = sum(any(d.kind == "audit" for d in each) for each in drawn)
    shadows = sum(any(d.kind == "shadow" for d in each) for each in drawn)
    assert audits / len(SEEDS) == pytest.approx(0.1, abs=0.008)
    assert shadows / len(SEEDS) == pytest.approx(0.03, abs=0.005)
    for each in drawn:
        assert {d.kind for d in each} != {"shadow"}  # a shadow answer is always labelled
        assert all(d.probability == (0.1 if d.kind == "audit" else 0.03) for d in each)


def test_a_shadow_calls_the_tier_that_was_silent() -> None:
    document = policy(audit=AuditTerms(rate=1.0), shadow=ShadowTerms(rate=1.0))
    assert [d.tier for d in draw(document, ("local",), 1)] == [None, "cloud"]
    assert [d.tier for d in draw(document, ("cloud",), 1)] == [None, "local"]
    assert [d.kind for d in draw(document, ("local", "cloud"), 1)] == ["audit"]


def test_a_shadow_calls_every_tier_that_was_silent() -> None:
    document = pool(4, audit=AuditTerms(rate=1.0), shadow=ShadowTerms(rate=1.0))
    assert [d.tier for d in draw(document, ("local",), 1)] == [None, "dear1", "dear2", "cloud"]
    assert [d.tier for d in draw(document, ("local", "dear2"), 1)] == [None, "dear1", "cloud"]


def test_uniform_numbers_depend_on_seed_and_purpose_alone() -> None:
    assert uniform(7, "arm") == uniform(7, "arm")
    assert uniform(7, "arm") != uniform(7, "draw")
    numbers = [uniform(seed, "arm") for seed in SEEDS]
    assert 0 <= min(numbers) < 0.001 < 0.999 < max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.01)
