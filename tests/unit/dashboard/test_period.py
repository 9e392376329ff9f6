from datetime import timedelta

import pytest

from dashboard.period import PERIODS, POINTS, width


@pytest.mark.parametrize("minutes", [0, 1, 4, 59, 60, 61, 1_440, 10_080, 44_640])
def test_a_span_has_few_enough_buckets(minutes: int) -> None:
    span = timedelta(minutes=minutes)
    assert span / width(span) <= POINTS


def test_buckets_are_not_needlessly_wide() -> None:
    for period in PERIODS.values():
        assert period / width(period) > POINTS / 5


def test_no_bucket_is_wider_than_a_day() -> None:
    assert width(timedelta(days=4_000)) == timedelta(days=1)
