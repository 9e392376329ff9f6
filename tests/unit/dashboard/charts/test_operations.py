from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from dashboard.charts import local_tier, system
from dashboard.charts.style import Layers

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMES = [NOON, NOON + timedelta(minutes=1)]
PACE = pd.DataFrame(
    {
        "at": TIMES,
        "ttft_ms": [20.0, None],
        "ttft_p95_ms": [40.0, None],
        "tokens_per_s": [80.0, 70.0],
        "tokens_per_s_p5": [50.0, 40.0],
    }
)
CALLS = pd.DataFrame({"at": TIMES, "calls": [60, 30], "failed": [0, 30]})
ENGINES = pd.DataFrame(
    {"at": TIMES, "plane": ["a", "b"], "waiting": [0, 3], "memory_bytes": [1 << 30, 1 << 29]}
)
SPOOLS = pd.DataFrame({"at": TIMES, "plane": ["a", "b"], "records": [0, 7], "oldest_s": [0.0, 2.0]})


@pytest.mark.parametrize(
    ("chart", "title"),
    [
        (local_tier.first_token(PACE), "first token (ms)"),
        (local_tier.speed(PACE), "tokens/s an answer"),
        (local_tier.calls(CALLS, 60.0), "calls a minute"),
        (local_tier.engines(ENGINES, "memory_mib", "memory (MiB)"), "memory (MiB)"),
        (system.spools(SPOOLS), "records waiting (most)"),
    ],
)
def test_each_has_units_and_the_viewers_time(chart: Layers, title: str) -> None:
    drawn = str(chart.to_dict())
    assert f"'title': '{title}'" in drawn
    assert "time (your zone)" in drawn


def test_rates_are_by_the_minute_and_failures_apart() -> None:
    (data,) = local_tier.calls(CALLS, 30.0).to_dict()["datasets"].values()
    rates = {(row["at"], row["ending"]): row["rate"] for row in data}
    assert sorted(rates.values()) == [0, 0, 60, 120]


def test_what_has_no_value_is_not_drawn_as_nothing() -> None:
    (data,) = local_tier.first_token(PACE).to_dict()["datasets"].values()
    assert [row["value"] for row in data] == [20.0, 40.0]


def test_memory_is_in_mebibytes() -> None:
    (data,) = local_tier.engines(ENGINES, "memory_mib", "m").to_dict()["datasets"].values()
    assert [row["memory_mib"] for row in data] == [1024, 512]
