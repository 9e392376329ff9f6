"""Charts of decisions and policies: valid, and each axis with a title."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import altair as alt
import pandas as pd
import pytest

from dashboard.charts import decisions, policies

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BINS = pd.DataFrame(
    {
        "lo": [-2.0, -0.5] * 2, "hi": [-0.5, 0.0] * 2, "share": [0.3, 0.7, 0.8, 0.2],
        "answer": ["right"] * 2 + ["wrong"] * 2,
    }
)  # fmt: skip
SCORES = pd.DataFrame({"raw": [-0.1, -1.5], "value": [1.0, 0.0]})
VALUES = pd.DataFrame(
    {
        "step": ["1. call local"] * 2, "action": ["call local", "call cloud"],
        "value": [0.5, 0.4], "chosen": ["chosen", "not chosen"],
    }
)  # fmt: skip
CALLS = pd.DataFrame(
    {"call": ["serve: local"], "purpose": ["serve"], "model": ["m"], "cost_usd": [1e-6]}
)
COURSE = pd.DataFrame(
    {
        "at": [NOON], "until": [NOON + timedelta(hours=1)], "version": [7],
        "author": ["learner"], "kind": ["retune"], "reason": ["cheaper"],
    }
)  # fmt: skip
LOOKS = pd.DataFrame(
    {"pairs": [0, 1], "evidence": ["as good"] * 2, "e_value": [1.0, 2.0], "at": [None, NOON]}
)


def leaves(chart: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers that draw something."""
    for layer in chart.get("layer", []):
        yield from leaves(layer)
    if "mark" in chart:
        yield chart


@pytest.mark.parametrize(
    "chart",
    [
        decisions.judge(BINS, SCORES, -0.4, -0.6),
        decisions.judge(BINS, SCORES.iloc[:0], None, None),
        decisions.values(VALUES),
        decisions.costs(CALLS),
        policies.course(COURSE),
        policies.evidence(LOOKS, 22.2),
    ],
)
def test_a_chart_is_valid_and_every_axis_has_a_title(chart: alt.Chart) -> None:
    axes = [
        layer["encoding"][axis]
        for layer in leaves(chart.to_dict())
        for axis in ("x", "y")
        if "field" in layer["encoding"].get(axis, {})
    ]
    assert axes
    assert all(axis.get("title") for axis in axes)


def test_wrong_answers_are_drawn_downwards_and_ticks_beyond_the_bars() -> None:
    chart = decisions.judge(BINS, SCORES, -0.4, -0.6).to_dict()
    data = list(chart["datasets"].values())
    bars = next(rows for rows in data if "share" in rows[0])
    assert [row["height"] for row in bars] == [0.3, 0.7, -0.8, -0.2]
    ticks = next(rows for rows in data if "raw" in rows[0])
    assert [row["answer"] for row in ticks] == ["right", "wrong"]
    assert min(abs(row["height"]) for row in ticks) > 0.8


def test_the_threshold_of_evidence_is_within_the_scale() -> None:
    chart = policies.evidence(LOOKS, 22.2).to_dict()
    low, high = next(leaves(chart))["encoding"]["y"]["scale"]["domain"]
    assert low <= 1.0 < 22.2 < high
