import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.stats import standing
from controlplane.stats.contest import Claim, Contest
from controlplane.stats.standing import TIMES, Drawing, bar, sooner, told, verdict

PROMISED, TOLERANCE = 0.76, 0.02
EVERYWHERE = Drawing(share=1.0, parted=0.3, alike=0.05)
UNEVEN = Drawing(share=0.4, parted=0.3, alike=0.1)


def paths(quality: float, drawing: Drawing, runs: int, queries: int, sign: int) -> np.ndarray:
    """Log evidence (runs, queries) after each query, most of which nobody labels."""
    rng, claim = np.random.default_rng(8), bar(PROMISED, TOLERANCE, drawing)
    shape = runs, queries
    chance = np.where(rng.random(shape) < drawing.share, drawing.parted, drawing.alike)
    drawn = rng.random(shape) < chance
    right = (rng.random(shape) < quality).astype(float)
    gain = np.where(drawn, sign * (right - PROMISED) * claim.stake / chance, 0.0)
    logs = [np.cumsum(np.log1p(times * gain), axis=1) for times in TIMES]
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(TIMES)))


def ended(quality: float, labels: int, seed: int) -> tuple[str | None, int]:
    """What is said of a policy of this quality, after how many labels."""
    rng, claim, found = np.random.default_rng(seed), bar(PROMISED, TOLERANCE, EVERYWHERE), Contest()
    for at, value in enumerate((rng.random(labels) < quality).astype(float).tolist(), 1):
        found = told(found, value, 0.3, claim)
        if said := verdict(found, claim):
            return said, at
    return None, labels


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("drawing", [EVERYWHERE, UNEVEN])
def test_at_the_bar_neither_verdict_is_often_wrong(drawing: Drawing, sign: int) -> None:
    evidence = paths(PROMISED, drawing, runs=600, queries=6000, sign=sign)
    assert (evidence.max(axis=1) >= np.log(20)).mean() <= 0.05


def test_it_folds_the_bets_that_were_simulated() -> None:
    claim, found = bar(PROMISED, TOLERANCE, UNEVEN), Contest()
    values, chances = [1.0, 0.0, 0.5, 1.0], [0.3, 0.1, 0.05, 0.02]
    for value, chance in zip(values, chances, strict=True):
        found = told(found, value, chance, claim)
    least = np.maximum(chances, claim.least)
    gains = (np.array(values) - PROMISED) * claim.stake / least
    logs = [np.log1p(times * gains).sum() for times in TIMES]
    assert found.for_it.logs == pytest.approx(logs)
    assert found.against.logs == pytest.approx([np.log1p(-k * gains).sum() for k in TIMES])


@pytest.mark.parametrize(
    ("quality", "said", "labels"), [(0.80, "holds", 900), (0.72, "fails", 900)]
)
def test_what_is_clear_is_said_soon(quality: float, said: str, labels: int) -> None:
    runs = [ended(quality, 3000, seed) for seed in range(40)]
    assert [verdict for verdict, _ in runs].count(said) >= 39
    assert np.median([at for _, at in runs]) <= labels


@given(
    st.floats(0.05, 0.95),
    st.floats(0.001, 0.1),
    st.builds(Drawing, st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 1)),
    st.floats(0.001, 1),
)
def test_no_label_ruins_it(
    promised: float, slack: float, drawing: Drawing, probability: float
) -> None:
    claim = bar(promised, slack, drawing)
    for value in (0.0, 1.0):
        found = told(Contest(), value, probability, claim)
        assert min(*found.for_it.logs, *found.against.logs) >= np.log(1 - standing.MOST) - 1e-9


def test_a_policy_that_loses_more_than_its_margin_is_asked_for_itself() -> None:
    claim = bar(PROMISED, TOLERANCE, EVERYWHERE)
    assert sooner(Claim(0.022), claim, EVERYWHERE, 0.808, -0.027)
    assert sooner(Claim(0.003), claim, EVERYWHERE, 0.785, -0.027), "pairs would tell even less"
    seldom = Drawing(0.1, 0.3, 0.05)
    assert not sooner(Claim(0.01), bar(PROMISED, TOLERANCE, seldom), seldom, 0.79, 0.02)
