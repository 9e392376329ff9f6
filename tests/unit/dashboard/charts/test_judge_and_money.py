"""Charts of the pages on the judge, on quality and cost, and on spend."""

from datetime import UTC, datetime, timedelta

import altair as alt
import pandas as pd
import pytest

from dashboard.charts import changes, cost, judge, quality
from dashboard.figures.cost import drift, steps

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHANGES = pd.DataFrame(
    {"at": [NOON], "kind": ["gate"], "standing": ["open"], "reason": ["it earned its say"]}
)
BINS = pd.DataFrame(
    {
        "labels": [9], "predicted": [0.5], "right_share": [0.4], "right_share_lo": [0.2],
        "right_share_hi": [0.6],
    }
)  # fmt: skip
CELLS = pd.DataFrame(
    {
        "answer": ["right", "right", "wrong", "wrong"],
        "verdict": ["accepted", "escalated"] * 2,
        "labels": [9.0, 1.0, 2.0, float("nan")],
        "share": [0.9, 0.1, 0.3, 0.7],
        "lo": [0.8, 0.05, 0.1, 0.5],
        "hi": [0.95, 0.2, 0.5, 0.9],
    }
)
ROC = pd.DataFrame(
    {"cutoff": [0.0, -1.0], "wrong_accepted": [0.1, 0.8], "right_accepted": [0.5, 1.0]}
)
SCORES = pd.DataFrame(
    {
        "low": [-1.0, -0.5], "high": [-0.5, 0.0], "right_labels": [1, 8], "wrong_labels": [5, 1],
        "right_share": [0.1, 0.9], "wrong_share": [0.8, 0.2],
    }
)  # fmt: skip
FARED = pd.DataFrame(
    {
        "at": [NOON], "until": [NOON + HOUR], "labels": [60], "auroc": [0.8], "auroc_lo": [0.7],
        "auroc_hi": [0.9], "wrong_accepted": [0.1], "wrong_accepted_lo": [0.05],
        "wrong_accepted_hi": [0.2],
    }
)  # fmt: skip
POINTS = pd.DataFrame(
    {
        "what": list(quality.STYLES), "name": list("abcdefg"), "quality": [0.9] * 7,
        "quality_lo": [0.8] * 7, "quality_hi": [0.95] * 7,
        "usd": [1.0, 2.0, 3.0, 4.0, 5.0, 5.5, 6.0],
        "usd_lo": [0.5] * 7, "usd_hi": [6.0] * 7,
    }
)  # fmt: skip
BUCKETS = pd.DataFrame(
    {
        "at": [NOON, NOON + HOUR], "until": [NOON + HOUR, NOON + 2 * HOUR], "queries": [9, 9],
        "usd_per_1000": [1.0, 9.0], "outside": [False, True],
    }
)  # fmt: skip
PURPOSES = BUCKETS.assign(purpose=["serve", "judge"])


def here(wrong: float) -> pd.DataFrame:
    ends = {"wrong_accepted_lo": [0.1], "wrong_accepted_hi": [0.9]}
    ends |= {"right_accepted_lo": [0.5], "right_accepted_hi": [1.0]}
    return pd.DataFrame({"wrong_accepted": [wrong], "right_accepted": [0.9]} | ends)


EFFECTS = {
    "volume": 0.5, "mix": 0.0, "routing": -0.25, "tokens": 0.0, "price": 0.0, "judging": 0.0,
    "shadowing": 0.0,
}  # fmt: skip
TOLD = {
    "queries": [], "unsummed": 0,
    "days": 1.0, "before": 1.0, "at": NOON.isoformat(), "first_at": (NOON - 48 * HOUR).isoformat(),
    "cells": [
        {
            "segment": "default", "tier": "cloud", "purpose": "serve", "before_usd": 1.0,
            "after_usd": 1.25, "effects": EFFECTS,
        }
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "chart",
    [
        changes.changes(CHANGES),
        judge.calibration(BINS),
        judge.confusion(CELLS),
        judge.roc(ROC, here(0.3)),
        judge.roc(ROC, here(1.0)),
        judge.scores(SCORES, -0.5, "logprob"),
        judge.scores(SCORES, None, "logprob"),
        judge.over_time(FARED, FARED, CHANGES, "auroc", "AUROC"),
        judge.over_time(FARED, FARED[:0], CHANGES[:0], "wrong_accepted", "wrong (%)"),
        quality.frontier(POINTS, POINTS, POINTS[:1], POINTS[:2], 0.88),
        quality.frontier(POINTS[:0], POINTS[:0], POINTS[:0], POINTS[:0], None),
        quality.course(POINTS.assign(at=NOON), "quality"),
        quality.course(POINTS.assign(at=NOON), "usd"),
        cost.waterfall(steps(drift(TOLD)), "the day"),
        cost.course(BUCKETS, (1.0, 2.0, 3.0), CHANGES),
        cost.course(BUCKETS, None, CHANGES[:0]),
        cost.purposes(PURPOSES),
    ],
)
def test_a_chart_is_valid_and_every_axis_of_numbers_has_a_title(chart: alt.Chart) -> None:
    axes = [
        axis
        for layer in layers(chart.to_dict())
        for name in ("x", "y")
        if "field" in (axis := layer.get("encoding", {}).get(name, {}))
    ]
    assert axes
    untitled = {axis["field"] for axis in axes if not axis.get("title")}
    assert untitled <= {"answer", "what", "value"}  # names, and a level drawn on a titled axis


def layers(drawn: dict[str, object]) -> list[dict[str, dict[str, dict[str, str]]]]:
    inner = drawn.get("layer")
    if not isinstance(inner, list):
        return [drawn]  # type: ignore[list-item]  # a chart without layers is one
    return [one for each in inner for one in layers(each)]


def test_a_waterfall_ends_where_spend_does() -> None:
    bars = steps(drift(TOLD))
    assert bars["what"].tolist() == ["spent before", "volume", "routing", "spent after"]
    assert bars["end"].tolist() == [1.0, 1.5, 1.25, 1.25]
    assert bars["kind"].tolist() == ["total", "rise", "fall", "total"]


def test_of_another_segment_nothing_changed() -> None:
    found = drift(TOLD, "other")
    assert (found.before_usd, found.after_usd, found.ranked) == (0.0, 0.0, [])
