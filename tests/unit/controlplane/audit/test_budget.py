"""So many draws a day, whatever the traffic does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.audit import budget
from controlplane.audit.budget import DAY, Volume
from controlplane.observations import Observation
from dataplane.features import Features
from tests.traffic import query

START = datetime(2026, 3, 1, tzinfo=UTC)
PER_DAY = 300


def seen(at: datetime, segment: str = "default") -> Observation:
    known = query(1)
    return Observation(
        known.decision_id, at, segment, 1, Features(10, ()), ("local",), "local", None, 0.0
    )


def test_queries_are_counted_by_segment_and_time_and_forgotten_after_a_day() -> None:
    volume, now = Volume(), START + timedelta(hours=12)
    times = [now, now - timedelta(minutes=30), now - timedelta(hours=3)]
    volume.saw([seen(at) for at in times] + [seen(now, "code")], now)
    assert volume.since(now - timedelta(hours=1), "default") == 2
    assert (volume.since(now - DAY, "default"), volume.since(now - DAY, "code")) == (3, 1)
    volume = Volume.restored(volume.state())
    volume.saw([], now + timedelta(hours=22))
    assert volume.since(START, "default") == 2


@given(st.floats(1, 1e5), st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_is_left_is_a_probability_and_never_more_than_the_pace(
    share: float, day: int, hour: int, drawn: int
) -> None:
    rate = budget.left(share, day, hour, drawn)
    pace = share / max(day, 24 * hour, 1)
    assert 0 < rate <= 1
    assert rate <= max(pace, budget.LEAST)
    assert rate <= max((share - drawn) / max(hour, 1), budget.TRICKLE * pace, budget.LEAST)


def test_segments_have_equal_shares() -> None:
    volume, now = Volume(), START + DAY
    volume.saw([seen(now)] * 200 + [seen(now, "code")] * 10, now)
    rates = budget.most(48, volume, {}, ["default", "code"], now)
    assert rates == {"default": 24 / (24 * 200), "code": 24 / (24 * 10)}


def rising() -> Iterator[float]:
    yield from np.linspace(5, 60, 288 * 2)


def daily() -> Iterator[float]:
    yield from 25 * (1 + np.sin(2 * np.pi * np.arange(288 * 2) / 288))


def surging() -> Iterator[float]:
    yield from [10.0] * 288 + [200.0] * 36 + [10.0] * 252


@pytest.mark.parametrize("pattern", [rising, daily, surging])
def test_no_day_has_more_draws_than_the_budget_and_a_trickle(pattern: object) -> None:
    """A turn every five minutes, each at the rate of the one before, as a policy would have it."""
    assert callable(pattern)
    rng, volume, drawn = np.random.default_rng(1), Volume(), list[int]()
    rate, now = 0.02, START
    for expected in pattern():
        queries = int(rng.poisson(expected))
        drawn.append(int(rng.binomial(queries, min(rate, 0.2))))
        volume.saw([seen(now)] * queries, now)
        now += timedelta(minutes=5)
        lately = {"default": sum(drawn[-288:])}
        rate = budget.most(PER_DAY, volume, lately, ["default"], now)["default"]
    days = np.convolve(drawn, np.ones(288), "valid")
    assert days.max() <= PER_DAY * (1 + budget.TRICKLE)
    assert days.max() >= PER_DAY / 4
