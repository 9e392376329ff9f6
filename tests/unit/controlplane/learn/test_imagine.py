"""What is imagined is what the strategies would do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.learn.imagine import ArmGrid, Imagined, Outlook, imagine, moved
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Mode
from dataplane.strategies import courses
from tests.unit.dataplane.policies import CERTIFIED, certificate, pool

MODES: tuple[Mode, ...] = ("route", "cascade", "cascade_route", "always_cloud", "always_local")
LAMBDAS = (0.0, 0.1, 0.3, 0.8)
GRID = ArmGrid(tuple(mode for mode in MODES for _ in LAMBDAS), np.array([*LAMBDAS] * len(MODES)))


def columns(seed: int, tiers: int, *, scored: bool) -> Columns:
    rng = np.random.default_rng(seed)
    score = -rng.exponential(0.5, 30) if scored else np.full(30, np.nan)
    p_hat, chars = rng.uniform(0.02, 0.98, (30, tiers)), rng.uniform(10, 400, 30)
    return Columns(p_hat, chars, score, np.arange(30) % 3)


def imagined(seed: int, tiers: int, *, scored: bool) -> tuple[PolicyDocument, Columns, Imagined]:
    document, queries = pool(tiers), columns(seed, tiers, scored=scored)
    return document, queries, imagine(Outlook.of(document, queries), GRID)


@given(st.integers(0, 2**31), st.sampled_from([2, 3]), st.floats(-1.5, 0.01))
def test_no_arm_is_imagined_to_accept_below_a_certified_score(
    seed: int, tiers: int, floor: float
) -> None:
    held = {"certificate": certificate(floor)}
    document = pool(tiers, segment=held, objective=CERTIFIED)
    queries = columns(seed, tiers, scored=True)
    judging: tuple[Mode, ...] = ("cascade", "cascade_route")
    arms = ArmGrid(tuple(m for m in judging for _ in LAMBDAS), np.array([*LAMBDAS] * 2))
    found = imagine(Outlook.of(document, queries), arms)
    assert (found.to_dear[queries.score < floor] == 1).all()
    for arm, (mode, lambda_) in enumerate(zip(arms.modes, arms.lambdas.tolist(), strict=True)):
        way = courses(document, document.segments[0].replaced(mode=mode, lambda_=lambda_), queries)
        assert (found.to_dear[:, arm] == way.to_dear).all()
    unknown = replace(queries, score=np.full(len(queries.score), np.nan))
    free = imagine(Outlook.of(document, unknown), arms)
    assert np.isfinite(free.quality).all()
    barred = document.judge.bins.raw < floor
    beliefs = document.beliefs(document.segments[0], unknown.p_hat)
    below = (beliefs.bin_probability * barred).sum(axis=-1)
    assert (free.to_dear >= below[:, None] - 1e-9).all()


@given(st.integers(0, 2**31), st.sampled_from([2, 3, 5]))
def test_at_a_known_score_the_course_is_certain(seed: int, tiers: int) -> None:
    document, queries, found = imagined(seed, tiers, scored=True)
    for arm, (mode, lambda_) in enumerate(zip(GRID.modes, GRID.lambdas.tolist(), strict=True)):
        way = courses(document, document.segments[0].replaced(mode=mode, lambda_=lambda_), queries)
        served = np.column_stack([1 - found.to_dear[:, arm], *(e[:, arm] for e in found.dear)])
        assert served == pytest.approx(np.eye(tiers)[way.served])
        assert (found.local[:, arm] == ~way.straight).all()
        assert (found.judged[:, arm] == way.judged).all()


@given(st.integers(0, 2**31), st.sampled_from([2, 3, 5]))
def test_without_a_score_chances_and_costs_add_up(seed: int, tiers: int) -> None:
    document, queries, found = imagined(seed, tiers, scored=False)
    assert (found.to_dear <= 1 + 1e-12).all()
    assert (found.local + found.to_dear >= 1 - 1e-12).all()
    costs = document.costs(queries.chars[:, None])
    spent = found.local * costs.local + found.judged * costs.judge
    spent = spent + sum(a * b for a, b in zip(found.dear, costs.dear, strict=True))
    assert found.cost == pytest.approx(spent)
    assert ((found.quality >= 0) & (found.quality <= 1)).all()


def test_what_moved_is_what_another_tier_serves() -> None:
    document, queries, found = imagined(1, 3, scored=False)
    assert moved(found, found).max() == 0
    cloud, local = (
        imagine(Outlook.of(document, queries), ArmGrid((mode,), np.zeros(1)))
        for mode in ("always_cloud", "always_local")
    )
    assert moved(cloud, local).tolist() == [[1.0]] * 30


@pytest.mark.parametrize("tiers", [2, 3])
@pytest.mark.parametrize("scored", [True, False])
def test_block_by_block_is_as_at_once(
    tiers: int, scored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, whole = imagined(5, tiers, scored=scored)
    monkeypatch.setattr("controlplane.learn.imagine.QUERIES", 7)
    _, _, parts = imagined(5, tiers, scored=scored)
    for name in ("quality", "cost", "usd", "local", "judged", "to_dear", "hinges"):
        assert (getattr(whole, name) == getattr(parts, name)).all()
