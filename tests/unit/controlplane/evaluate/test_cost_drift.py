"""The change of spend is split whole, fairly, and by the right names."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.evaluate.cost_drift import CALLS, DRIVERS, Calls, Cell, Period, decompose

SERVE = Cell("code", "cloud", "serve")
SEGMENTS, TIERS = ("code", "chat"), ("local", "cloud")
AMOUNTS = st.one_of(st.just(0.0), st.floats(1e-3, 1e3))
COUNTS = st.integers(0, 10_000).map(float)


@st.composite
def charged(draw: st.DrawFn) -> Calls:
    """Calls that used tokens at some price, or were charged by the call, or were free."""
    calls = draw(st.integers(1, 10_000))
    prompt, completion = draw(COUNTS), draw(COUNTS)
    return Calls(
        calls=float(calls),
        prompt_tokens=prompt,
        completion_tokens=completion,
        prompt_usd=draw(AMOUNTS) if prompt else 0.0,
        completion_usd=draw(AMOUNTS) if completion else 0.0,
        fee_usd=draw(AMOUNTS),
    )


@st.composite
def periods(draw: st.DrawFn) -> Period:
    """Any number of segments and cells, none at all included."""
    seen = draw(st.lists(st.sampled_from(SEGMENTS), unique=True))
    queries = {segment: float(draw(st.integers(1, 10_000))) for segment in seen}
    cells = [
        Cell(segment, tier, purpose) for segment in seen for tier in TIERS for purpose in CALLS
    ]
    chosen = draw(st.lists(st.sampled_from(cells), unique=True)) if cells else []
    return Period(queries, {cell: draw(charged()) for cell in chosen})


def close(value: float, scale: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-9 * max(scale, 1.0))


@given(periods(), periods())
def test_the_effects_sum_to_the_change(before: Period, after: Period) -> None:
    found = decompose(before, after)
    scale = before.usd + after.usd
    assert sum(found.effects.values()) == close(after.usd - before.usd, scale)
    for cell, effects in found.by_cell.items():
        spent = [
            period.calls[cell].usd if cell in period.calls else 0.0 for period in (before, after)
        ]
        assert sum(effects.values()) == close(spent[1] - spent[0], scale)


@given(periods(), periods())
def test_swapped_periods_have_the_opposite_effects(before: Period, after: Period) -> None:
    there, back = decompose(before, after), decompose(after, before)
    for driver in DRIVERS:
        assert there.effects[driver] == close(-back.effects[driver], before.usd + after.usd)


@given(periods())
def test_where_nothing_changed_nothing_did_it(period: Period) -> None:
    assert set(decompose(period, period).effects.values()) == {0.0}


@given(periods(), st.floats(0.1, 10))
def test_as_much_again_of_everything_is_volume(period: Period, factor: float) -> None:
    effects = decompose(period, period.times(factor)).effects
    assert effects.pop("volume") == close((factor - 1) * period.usd, period.usd * factor)
    assert all(value == close(0, period.usd * factor) for value in effects.values())


@given(periods(), st.floats(0.1, 10))
def test_other_prices_alone_are_all_price(period: Period, factor: float) -> None:
    dearer = Period(
        period.queries,
        {
            cell: replace(
                each,
                prompt_usd=factor * each.prompt_usd,
                completion_usd=factor * each.completion_usd,
                fee_usd=factor * each.fee_usd,
            )
            for cell, each in period.calls.items()
        },
    )
    effects = decompose(period, dearer).effects
    assert effects.pop("price") == close((factor - 1) * period.usd, period.usd * factor)
    assert all(value == close(0, period.usd * factor) for value in effects.values())


def calls(count: float, tokens: tuple[float, float] = (100, 50), usd: float = 1.0) -> Calls:
    """So many calls of these tokens each, at 1e-5 and 4e-5 USD a token times ``usd``."""
    prompt, completion = tokens
    return Calls(
        calls=count,
        prompt_tokens=count * prompt,
        completion_tokens=count * completion,
        prompt_usd=usd * count * prompt * 1e-5,
        completion_usd=usd * count * completion * 4e-5,
    )


def moved(before: Period, after: Period) -> dict[str, float]:
    return {name: usd for name, usd in decompose(before, after).effects.items() if abs(usd) > 1e-12}


def test_longer_answers_are_tokens_and_not_price() -> None:
    """Though a mean token is dearer then: answers cost more than prompts."""
    before = Period({"code": 10}, {SERVE: calls(10)})
    after = Period({"code": 10}, {SERVE: calls(10, (100, 150))})
    assert moved(before, after) == {"tokens": pytest.approx(10 * 100 * 4e-5)}


@pytest.mark.parametrize(("purpose", "driver"), CALLS.items())
def test_more_calls_a_query_have_the_name_of_their_purpose(purpose: str, driver: str) -> None:
    cell = Cell("code", "cloud", purpose)
    before = Period({"code": 10}, {cell: calls(2)})
    after = Period({"code": 10}, {cell: calls(5)})
    assert moved(before, after) == {driver: pytest.approx(3 * 0.003)}


def test_a_tier_that_was_never_called_is_all_routing() -> None:
    before = Period({"code": 10}, {Cell("code", "local", "serve"): calls(10, usd=0.1)})
    after = Period({"code": 10}, {SERVE: calls(10)})
    assert moved(before, after) == {"routing": pytest.approx(10 * 0.003 * 0.9)}


def test_other_segments_are_mix() -> None:
    dear, cheap = calls(1, usd=10), calls(1)
    cells = Cell("code", "cloud", "serve"), Cell("chat", "cloud", "serve")
    before = Period({"code": 10, "chat": 30}, {cells[0]: dear.times(10), cells[1]: cheap.times(30)})
    after = Period({"code": 30, "chat": 10}, {cells[0]: dear.times(30), cells[1]: cheap.times(10)})
    found = decompose(before, after)
    assert moved(before, after) == {"mix": pytest.approx(20 * (0.03 - 0.003))}
    assert found.foremost("mix") == cells[0]


def test_two_changes_at_once_share_what_neither_did_alone() -> None:
    """Twice the queries at twice the price: of the extra 3 units each takes half."""
    before = Period({"code": 10}, {SERVE: calls(10)})
    after = Period({"code": 20}, {SERVE: calls(20, usd=2)})
    unit = before.usd
    assert moved(before, after) == {
        "volume": pytest.approx(1.5 * unit), "price": pytest.approx(1.5 * unit)
    }  # fmt: skip


def test_three_changes_at_once_by_all_six_orders() -> None:
    """Q 1 to 2, tokens 1 to 3, price 1 to 5, worked out by hand."""
    before = Period({"code": 1}, {SERVE: Calls(1, prompt_tokens=1, prompt_usd=1)})
    after = Period({"code": 2}, {SERVE: Calls(2, prompt_tokens=6, prompt_usd=30)})
    assert moved(before, after) == {
        "volume": pytest.approx((2 * 1 + 3 + 5 + 2 * 15) / 6),
        "tokens": pytest.approx((2 * 2 + 2 * 2 + 2 * 5 + 2 * 2 * 10) / 6),
        "price": pytest.approx((2 * 4 + 4 * 2 + 4 * 3 + 2 * 4 * 6) / 6),
    }


def test_nothing_at_all_is_no_change() -> None:
    nothing = Period({}, {})
    found = decompose(nothing, nothing)
    assert (found.change_usd, set(found.effects.values())) == (0.0, {0})


def test_from_nothing_all_is_volume() -> None:
    after = Period({"code": 10}, {SERVE: calls(10)})
    assert moved(Period({}, {}), after) == {"volume": pytest.approx(after.usd)}


def test_calls_without_queries_are_refused() -> None:
    stray = Period({"chat": 1}, {SERVE: calls(1)})
    with pytest.raises(ValueError, match="segment code has calls and no queries"):
        decompose(stray, stray)
