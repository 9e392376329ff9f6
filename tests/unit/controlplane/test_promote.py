import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.promote import (
    Known,
    Proposal,
    Served,
    Stage,
    Terms,
    advance,
    decided,
    margin,
)
from controlplane.stats.contest import Claim, Contest, compared, seen
from controlplane.stats.moments import Moments

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TERMS = Terms()
CLAIM = Claim(margin=0.01)
OURS = frozenset({"a", "b"})
WELL = Known({"a": None, "b": None}, OURS)
ENDS = {"settled", "refused", "rolled_back", "retired"}


def proposal(stage: Stage, **fields: Any) -> Proposal:
    return Proposal(version=7, against=6, claim=CLAIM, since=NOW, stage=stage, **fields)


def contest(differences: Iterable[float], queries: int = 1500) -> Contest:
    found = seen(Contest(), queries=queries, parted=queries // 10)
    for each in differences:
        found = compared(found, each, CLAIM)
    return found


def moments(mean: float, spread: float = 1.0, count: int = 400) -> Moments:
    return Moments(count, mean, spread**2 * (count - 1))


def served(failed: float = 0.01, log_ms: float = 6.0, usd: float = 1e-5, **n: int) -> Served:
    return Served(moments(failed, 0.1, **n), moments(log_ms, 0.4, **n), moments(usd, 1e-6, **n))


GOOD, BAD = contest([1.0, 0.0] * 60), contest([-1.0, 0.0] * 60)
CHEAPER, DEARER = moments(2e-6, 1e-6), moments(-2e-6, 1e-6)
LATER = NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("before", "known", "now", "stage", "words"),
    [
        (proposal("candidate"), WELL, NOW, "shadow", "2 data planes validated it"),
        (proposal("candidate"), Known({"a": None}, OURS), NOW, "candidate", ""),
        (proposal("candidate"), Known({"a": None}, OURS), LATER, "refused", "no answer of b"),
        (proposal("candidate"), Known({}, frozenset()), LATER, "refused", "any data plane"),
        (proposal("shadow"), Known({"a": "NaN"}, OURS), NOW, "refused", "a refuses it: NaN"),
        (proposal("shadow"), WELL, NOW, "shadow", ""),
        (proposal("shadow", contest=GOOD, saved=CHEAPER), WELL, NOW, "canary", "2.0 USD per mil"),
        (proposal("shadow", contest=GOOD), WELL, NOW, "shadow", ""),
        (proposal("shadow", contest=GOOD, saved=DEARER), WELL, NOW, "refused", "queries more"),
        (
            proposal("shadow", contest=GOOD, saved=DEARER),
            replace(WELL, misses=True),
            NOW,
            "canary",
            "misses its target",
        ),
        (proposal("shadow", contest=BAD, saved=CHEAPER), WELL, NOW, "refused", "120 pairs among"),
        (proposal("shadow", saved=CHEAPER), WELL, LATER, "refused", "undecided in 14 days"),
        (proposal("canary"), WELL, NOW, "canary", ""),
        (proposal("canary", canary=served(), beside=served()), WELL, NOW, "live", "400 canary"),
        (
            proposal("canary", canary=served(failed=0.2), beside=served()),
            WELL,
            NOW,
            "refused",
            "20.0% of its queries fail",
        ),
        (
            proposal("canary", canary=served(log_ms=6.5), beside=served()),
            WELL,
            NOW,
            "refused",
            "it takes 1.65 times as long",
        ),
        (
            proposal("canary", canary=served(usd=2e-5), beside=served()),
            WELL,
            NOW,
            "refused",
            "it spends 2e-05 USD a query",
        ),
        (
            proposal("canary", canary=served(count=50), beside=served()),
            WELL,
            LATER,
            "refused",
            "50 canary queries in 7 days",
        ),
        (proposal("live", contest=GOOD), WELL, LATER, "live", ""),
        (proposal("live", contest=BAD), WELL, NOW, "rolled_back", "worse than version 6"),
        (proposal("live", contest=contest([], 2500)), WELL, NOW, "settled", "2500 queries"),
    ],
)
def test_what_is_known_leads_to_the_next_stage(
    before: Proposal, known: Known, now: datetime, stage: Stage, words: str
) -> None:
    after = advance(before, known, TERMS, now)
    assert after.stage == stage
    if stage == before.stage:
        assert after is before
        return
    assert words in after.why
    assert (after.since, after.contest, after.canary) == (now, Contest(), Served())


def test_a_slower_canary_is_allowed_what_the_terms_allow() -> None:
    slower = proposal("canary", canary=served(log_ms=6.15), beside=served())
    assert advance(slower, WELL, TERMS, NOW).stage == "live"
    assert advance(slower, WELL, replace(TERMS, slower=1.0), NOW).stage == "refused"


def test_an_ended_one_never_moves() -> None:
    for stage in ENDS:
        ended = proposal(stage, contest=BAD)  # type: ignore[arg-type] # a set of literals
        assert advance(ended, Known({"a": "no"}, OURS), TERMS, LATER) is ended


@pytest.mark.parametrize("stage", get_args(Stage))
def test_an_operator_may_promote_before_and_roll_back_after(stage: Stage) -> None:
    before = stage in ("candidate", "shadow", "canary")
    wanted: dict[Stage, bool] = {
        "live": before,
        "refused": before,
        "rolled_back": stage in ("live", "settled"),
    }
    for after, may in wanted.items():
        if may:
            moved = decided(proposal(stage), after, "operator ada", "because", NOW)
            assert (moved.stage, moved.why) == (after, "operator ada: because")
        else:
            with pytest.raises(ValueError, match=f"version 7 is {stage}: it cannot be {after}"):
                decided(proposal(stage), after, "operator ada", "because", NOW)


@given(st.lists(st.floats(0.8, 1.0), min_size=10, max_size=10))
def test_ten_in_a_row_just_inside_their_margins_keep_the_promise(lows: list[float]) -> None:
    """Each loses all that it may, by whatever lower bound that the quality before it allows."""
    quality, target, tolerance = 0.93, 0.93, 0.02
    for share in lows:
        low = quality * share
        may_lose = margin(low, target, tolerance)
        if may_lose > 0:
            quality -= may_lose
        assert quality >= target - tolerance - 1e-12


def test_it_goes_on_exactly_where_it_was() -> None:
    first = proposal("live", contest=GOOD, saved=CHEAPER, canary=served(), beside=served())
    again = Proposal.restored(json.loads(json.dumps(first.state())))
    assert again == first
    assert advance(again, WELL, TERMS, LATER) == advance(first, WELL, TERMS, LATER)


def test_a_failed_query_tells_of_nothing_but_failing() -> None:
    found = Served().told(failed=False, latency_ms=100.0, usd=1e-5)
    found = found.told(failed=True, latency_ms=1.0, usd=0.0)
    assert found.failed == Moments(2, 0.5, 0.5)
    assert (found.log_ms.count, found.usd.count) == (1, 1)
