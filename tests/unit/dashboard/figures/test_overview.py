from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from dashboard.figures.overview import (
    SPEND,
    VOLUME,
    Money,
    Quality,
    cloud_course,
    cost_course,
    policy_course,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def money(paid: float = 1.0, expected: float = 1.0) -> Money:
    return Money(
        by_purpose={"serve": 1.0, "shadow": 0.5},
        paid_cloud_usd=paid,
        expected_cloud_usd=expected,
        correction=2.0,
        shadow_calls=10,
        labels=3,
        labels_usd=7.0,
    )


def test_what_is_saved_is_charged_with_everything_but_labels() -> None:
    assert money().spent_usd == 1.5
    assert money().always_cloud_usd == 3.0
    assert money().saved_share == 0.5


def test_nothing_is_saved_of_nothing() -> None:
    assert money(paid=0.0, expected=0.0).saved_share is None


@pytest.mark.parametrize(
    ("lo", "hi", "verdict"),
    [(0.88, 0.95, "kept"), (0.8, 0.95, "undecided"), (0.7, 0.8799, "missed")],
)
def test_a_verdict_is_the_intervals(lo: float, hi: float, verdict: str) -> None:
    quality = Quality(NOON, answers=100, labels=40, quality=0.85, lo=lo, hi=hi, silent_share=0.0)
    assert quality.verdict(floor=0.88) == verdict


def test_costs_are_by_query_and_bucket() -> None:
    volume = pd.DataFrame([(NOON, 4, 1.0, 2.0), (NOON + MINUTE, 2, 0.0, 1.0)], columns=list(VOLUME))
    spend = pd.DataFrame(
        [(NOON, "serve", 1.0), (NOON, "shadow", 2.0), (NOON - MINUTE, "serve", 9.0)],
        columns=list(SPEND),
    )
    course = cost_course(volume, spend, MINUTE)
    assert course["usd_per_1000"].tolist() == [250.0, 500.0]
    assert set(course["until"]) == {NOON + MINUTE}
    assert cloud_course(volume, 1.5)["usd_per_1000"].tolist() == [1000.0, 750.0]


def test_empty_courses_stay_empty() -> None:
    volume, spend = pd.DataFrame(columns=list(VOLUME)), pd.DataFrame(columns=list(SPEND))
    assert cost_course(volume, spend, MINUTE).empty
    assert cloud_course(volume, 1.0).empty
    assert policy_course([], NOON, NOON).empty


def test_policies_are_steps_from_the_periods_start_until_now() -> None:
    def published(version: int, at: datetime) -> dict[str, object]:
        return {
            "published_at": at, "version": version, "mode": "cascade", "segment": "default",
            "routing_threshold": version / 10, "judge_cutoff": -version, "judge": "logprob",
        }  # fmt: skip

    newest_first = [published(2, NOON + MINUTE), published(1, NOON - MINUTE)]
    course = policy_course(newest_first, NOON, NOON + 5 * MINUTE)
    assert course["version"].tolist() == [1, 2, 2]
    assert course["at"].tolist() == [NOON, NOON + MINUTE, NOON + 5 * MINUTE]
