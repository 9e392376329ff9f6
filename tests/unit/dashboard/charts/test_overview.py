from datetime import UTC, datetime, timedelta

import altair as alt
import pandas as pd
import pytest

from dashboard.charts import overview as charts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COURSE = pd.DataFrame({"at": [NOON], "labels": [40], "quality": [0.9], "lo": [0.8], "hi": [0.95]})
COST = pd.DataFrame(
    {
        "at": [NOON] * 3,
        "until": [NOON + timedelta(minutes=1)] * 3,
        "purpose": ["shadow", "serve", "judge"],
        "usd_per_1000": [1.0, 2.0, 4.0],
    }
)
CLOUD = pd.DataFrame({"at": [NOON], "usd_per_1000": [9.0]})
POLICIES = pd.DataFrame(
    {
        "at": [NOON, NOON + timedelta(minutes=1)],
        "version": [1, 2],
        "mode": ["always_cloud", "cascade"],
        "segment": ["default", "default"],
        "routing_threshold": [1.0, 0.4],
        "judge_cutoff": [0.01, -0.5],
    }
)


@pytest.mark.parametrize(
    "chart",
    [
        charts.quality(COURSE, 0.9, 0.88),
        charts.quality(COURSE, None, None),
        charts.cost(COST, CLOUD),
        charts.steps(POLICIES, "judge_cutoff", "judge cutoff (raw score)", (-20, 0.01)),
    ],
)
def test_a_chart_is_valid_and_every_axis_has_a_title(chart: alt.Chart) -> None:
    drawn = chart.to_dict()
    layers = drawn.get("layer", [drawn])
    axes = [
        encoding[axis]
        for layer in layers
        for encoding in [layer.get("encoding", {})]
        for axis in ("x", "y")
        if "field" in encoding.get(axis, {})
    ]
    assert axes
    assert all(axis.get("title") for axis in axes)


def test_costs_are_stacked_in_one_order() -> None:
    stacked = charts._stacked(COST).set_index("purpose")
    assert stacked["below"].to_dict() == {"serve": 0.0, "judge": 2.0, "shadow": 6.0}
    assert stacked["above"].to_dict() == {"serve": 2.0, "judge": 6.0, "shadow": 7.0}


def test_the_ends_of_the_scale_do_not_squash_what_moves() -> None:
    chart = charts.steps(POLICIES, "judge_cutoff", "judge cutoff", (-20, 0.01)).to_dict()
    low, high = chart["encoding"]["y"]["scale"]["domain"]
    assert low < -0.5 < high < 0.01
