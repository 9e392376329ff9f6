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
from controlplane.stats.standing import Drawing, bar, told

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TERMS = Terms()
CLAIM = Claim(margin=0.01)
OURS = frozenset({"a", "b"})
STRUCTURAL = 4
WELL = Known(STRUCTURAL, {"a": None, "b": None}, OURS)
ENDS = {"settled", "refused", "rolled_back", "retired"}


def proposal(stage: Stage, **fields: Any) -> Proposal:
    return Proposal(7, 6, STRUCTURAL, CLAIM, NOW, stage, **fields)


def known(stage: Stage = "shadow", **fields: Any) -> Known:
    """With the live policy that there should be in this stage."""
    return replace(WELL, structural=7 if stage == "live" else STRUCTURAL, **fields)


def contest(differences: Iterable[float], queries: int = 1500) -> Contest:
    found = seen(Contest(), queries=queries, parted=queries // 10)
    for each in differences:
        found = compared(found, each, CLAIM)
    return found


def moments(mean: float, spread: float = 1.0, count: int = 400) -> Moments:
    return Moments(count, mean, spread**2 * (count - 1))


def served(failed: float = 0.01, log_ms: float = 6.0, usd: float = 1e-5, **n: int) -> Served:
    return Served(moments(failed, 0.1, **n), moments(log_ms, 0.4, **n), moments(usd, 1e-6, **n))


BAR = bar(0.76, 0.02, Drawing(share=1.0, parted=0.3, alike=0.05))


def labels(wrong: int, of: int) -> Contest:
    found = Contest()
    for each in range(400):
        found = told(found, float(each % of >= wrong), 0.3, BAR)
    return found


KEPT, BROKEN = labels(1, 8), labels(3, 8)
GOOD, BAD = contest([1.0, 0.0] * 60), contest([-1.0, 0.0] * 60)
CHEAPER, DEARER = moments(2e-6, 1e-6), moments(-2e-6, 1e-6)
LATER = NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("before", "now_known", "now", "stage", "words"),
    [
        (proposal("candidate"), WELL, NOW, "shadow", "validated by 2 data planes"),
        (proposal("candidate"), known(answers={"a": None}), NOW, "candidate", ""),
        (
            proposal("candidate"),
            known(answers={"a": None}),
            LATER,
            "shadow",
            "1 data planes, without a word of b",
        ),
        (
            proposal("candidate"),
            known(answers={}, planes=frozenset()),
            LATER,
            "refused",
            "no data plane answered",
        ),
        (proposal("shadow"), known(answers={"a": "NaN"}), NOW, "refused", "a refuses it: NaN"),
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
        (
            proposal("shadow", bar=BAR, contest=KEPT, saved=CHEAPER),
            WELL,
            NOW,
            "canary",
            "it keeps what is promised: 400 of its answers labelled",
        ),
        (
            proposal("shadow", bar=BAR, contest=BROKEN, saved=CHEAPER),
            WELL,
            NOW,
            "refused",
            "it does not keep what is promised: 400 of its answers labelled",
        ),
        (
            proposal("shadow", bar=BAR, contest=KEPT, saved=DEARER),
            WELL,
            NOW,
            "refused",
            "it keeps what is promised, at 2.0 USD per million queries more",
        ),
        (
            proposal("live", bar=BAR, contest=BROKEN),
            known("live"),
            NOW,
            "rolled_back",
            "it does not keep what is promised",
        ),
        (proposal("canary"), WELL, NOW, "canary", ""),
        (proposal("canary"), known(canary=served(), beside=served()), NOW, "live", "400 canary"),
        (
            proposal("canary"),
            known(canary=served(failed=0.2), beside=served()),
            NOW,
            "refused",
            "20.0% of its queries fail",
        ),
        (
            proposal("canary"),
            known(canary=served(log_ms=6.5), beside=served()),
            NOW,
            "refused",
            "it takes 1.65 times as long",
        ),
        (
            proposal("canary"),
            known(canary=served(usd=2e-5), beside=served()),
            NOW,
            "refused",
            "it spends 2e-05 USD a query",
        ),
        (
            proposal("canary"),
            known(canary=served(count=50), beside=served()),
            LATER,
            "refused",
            "50 canary queries in 7 days",
        ),
        (proposal("live", contest=GOOD), known("live"), LATER, "live", ""),
        (proposal("live", contest=BAD), known("live"), NOW, "rolled_back", "worse than version 6"),
        (
            proposal("live", contest=contest([], 2500)),
            known("live"),
            NOW,
            "settled",
            "2500 queries",
        ),
    ],
)
def test_what_is_known_leads_to_the_next_stage(
    before: Proposal, now_known: Known, now: datetime, stage: Stage, words: str
) -> None:
    after = advance(before, now_known, TERMS, now)
    assert after.stage == stage
    if stage == before.stage:
        assert after is before
        return
    assert words in after.why
    assert (after.since, after.contest.pairs) == (now, 0)
    assert after.began == after.contest.queries == before.contest.queries


def test_a_slower_canary_is_allowed_what_the_terms_allow() -> None:
    slower = known(canary=served(log_ms=6.15), beside=served())
    assert advance(proposal("canary"), slower, TERMS, NOW).stage == "live"
    assert advance(proposal("canary"), slower, replace(TERMS, slower=1.0), NOW).stage == "refused"


@pytest.mark.parametrize("stage", ["candidate", "shadow", "canary", "live"])
def test_a_policy_that_is_published_meanwhile_ends_it(stage: Stage) -> None:
    after = advance(proposal(stage), replace(WELL, structural=9), TERMS, NOW)
    assert after.stage == ("retired" if stage == "live" else "refused")
    assert "version 9 was published" in after.why


def test_an_ended_one_never_moves() -> None:
    for stage in ENDS:
        ended = proposal(stage, contest=BAD)  # type: ignore[arg-type] # a set of literals
        assert advance(ended, known(answers={"a": "no"}), TERMS, LATER) is ended


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
    first = proposal("live", contest=GOOD, saved=CHEAPER, bar=BAR)
    again = Proposal.restored(json.loads(json.dumps(first.state())))
    assert again == first
    beside = known("live")
    assert advance(again, beside, TERMS, LATER) == advance(first, beside, TERMS, LATER)
