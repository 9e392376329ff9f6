import json
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.stats.betting import evidence_paths
from controlplane.stats.contest import Claim, Contest, compared, seen, verdict

QUERIES, PARTED = 4000, 480
SHARE = PARTED / QUERIES
RUNS, PAIRS = 500, 600


def differences(rng: np.random.Generator, mean: float, apart: float, count: int) -> list[float]:
    """Of pairs whose labels differ with probability ``apart``."""
    ways = [(apart - mean) / 2, 1 - apart, (apart + mean) / 2]
    drawn: list[float] = rng.choice([-1.0, 0.0, 1.0], size=count, p=ways).tolist()
    return drawn


def decided(claim: Claim, pairs: list[float]) -> tuple[str | None, int]:
    """The verdict, and after how many pairs."""
    contest = seen(Contest(), queries=QUERIES, parted=PARTED)
    for at, difference in enumerate(pairs, 1):
        contest = compared(contest, difference, claim)
        if said := verdict(contest, claim):
            return said, at
    return None, len(pairs)


@pytest.mark.parametrize("margin", [0.015, 0.0, -0.01])
def test_at_the_boundary_neither_verdict_is_often_wrong(margin: float) -> None:
    """The mean difference is just what the margin allows: both verdicts would be wrong, each by an
    e-process of its own. The share is taken as known, which only makes them more frequent.
    """
    rng = np.random.default_rng(3)
    null, level = -margin / SHARE, 0.025
    ways = [(0.4 - null) / 2, 0.6, (0.4 + null) / 2]
    drawn = rng.choice([-1.0, 0.0, 1.0], size=(4 * RUNS, PAIRS), p=ways)
    for sign in (1.0, -1.0):
        evidence = evidence_paths(sign * drawn, sign * null)
        assert (evidence.max(axis=1) >= log(1 / level)).mean() <= level


@pytest.mark.parametrize(("mean", "said"), [(0.02 / SHARE, "holds"), (-0.04 / SHARE, "fails")])
def test_what_is_clear_is_said_soon(mean: float, said: str) -> None:
    rng, claim = np.random.default_rng(4), Claim(margin=0.01)
    runs = [decided(claim, differences(rng, mean, 0.4, PAIRS)) for _ in range(60)]
    assert [verdict for verdict, _ in runs].count(said) >= 59
    assert np.median([at for _, at in runs]) <= 75


def test_policies_that_hardly_part_need_no_label() -> None:
    alike = seen(Contest(), queries=5000, parted=10)
    assert verdict(alike, Claim(margin=0.02)) == "holds"
    assert verdict(alike, Claim(margin=-0.02)) == "fails"
    assert verdict(Contest(), Claim(margin=0.02)) is None


@given(
    st.floats(-0.3, 0.3),
    st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=40),
    st.integers(0, 300),
)
def test_a_better_pair_never_speaks_against_it(
    margin: float, pairs: list[float], parted: int
) -> None:
    claim, start = Claim(margin), seen(Contest(), queries=300, parted=parted)
    for difference in pairs:
        start = compared(start, difference, claim)
    worse, better = (compared(start, each, claim) for each in (-1.0, 1.0))
    assert worse.for_it.log_evidence <= better.for_it.log_evidence
    assert worse.against.log_evidence >= better.against.log_evidence


def test_an_unknown_share_is_harder_than_a_known_one() -> None:
    claim = Claim(margin=0.02)
    few, many = (seen(Contest(), queries=n, parted=n // 10) for n in (50, 5000))
    for _ in range(10):
        few, many = compared(few, 0.0, claim), compared(many, 0.0, claim)
    assert few.for_it.log_evidence < many.for_it.log_evidence


def test_it_goes_on_exactly_where_it_was() -> None:
    claim, contest = Claim(margin=0.01), seen(Contest(), queries=900, parted=90)
    for difference in (1.0, 0.0, -1.0, 1.0):
        contest = compared(contest, difference, claim)
    again = Contest.restored(json.loads(json.dumps(contest.state())))
    assert again == contest
    assert compared(again, 1.0, claim) == compared(contest, 1.0, claim)
