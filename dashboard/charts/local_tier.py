"""Charts of the local tier."""

import altair as alt
import pandas as pd

from dashboard.charts.style import (
    BLUE,
    COLOURS,
    GREEN,
    HEIGHT,
    ORANGE,
    VERMILION,
    Layers,
    interrupted,
    time_axis,
    when,
)

MIB, GIB = 1 << 20, 1 << 30


def first_token(course: pd.DataFrame) -> Layers:
    """Median and 95th percentile of the time to the first token."""
    return _pair(course, ("ttft_ms", "median"), ("ttft_p95_ms", "p95"), "first token (ms)")


def speed(course: pd.DataFrame) -> Layers:
    """Median and 5th percentile of the tokens a second of an answer."""
    return _pair(
        course, ("tokens_per_s", "median"), ("tokens_per_s_p5", "slowest 5 %"), "tokens/s an answer"
    )


def _pair(
    course: pd.DataFrame, middle: tuple[str, str], edge: tuple[str, str], title: str
) -> Layers:
    names = dict((middle, edge))
    long = course.melt("at", list(names), var_name="column", value_name="value").dropna()
    long["which"] = long["column"].map(names)
    said = list(names.values())
    scale = alt.Scale(domain=said, range=[BLUE, ORANGE])
    lines = (
        alt.Chart(long)
        .mark_line(point=len(course) < 20)
        .encode(
            x=time_axis(),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(domainMin=0)),
            color=alt.Color("which:N", scale=scale, legend=alt.Legend(title=None, orient="top")),
            strokeDash=alt.StrokeDash("which:N", legend=None, sort=said),
            tooltip=[when(), alt.Tooltip("which:N"), alt.Tooltip("value:Q", format=".1f")],
        )
    )
    return alt.layer(lines).properties(height=HEIGHT)


def calls(course: pd.DataFrame, bucket_s: float) -> Layers:
    """Calls a minute, and those that failed."""
    rates = course.assign(
        answered=60 * (course["calls"] - course["failed"]) / bucket_s,
        failed=60 * course["failed"] / bucket_s,
    )
    long = rates.melt("at", ["answered", "failed"], var_name="ending", value_name="rate")
    scale = alt.Scale(domain=["answered", "failed"], range=[GREEN, VERMILION])
    bars = (
        alt.Chart(long)
        .mark_area(interpolate="step")
        .encode(
            x=time_axis(),
            y=alt.Y("rate:Q", title="calls a minute"),
            color=alt.Color("ending:N", scale=scale, legend=alt.Legend(title=None, orient="top")),
            tooltip=[when(), alt.Tooltip("ending:N"), alt.Tooltip("rate:Q", format=".1f")],
        )
    )
    return alt.layer(bars).properties(height=HEIGHT)


def engines(course: pd.DataFrame, column: str, title: str) -> alt.Chart:
    """A number of each engine, a line a data plane; memory is in MiB."""
    shown = course.assign(memory_mib=course["memory_bytes"] / MIB)
    most = 1.0 if shown[column].max() < 1 else float(shown[column].max())
    chart: alt.Chart = (
        alt.Chart(interrupted(shown, "plane", column))
        .mark_line(point=len(course) < 20)
        .encode(
            x=time_axis(),
            y=alt.Y(f"{column}:Q", title=title, scale=alt.Scale(domain=[0, most])),
            color=alt.Color(
                "plane:N",
                scale=alt.Scale(range=list(COLOURS)),
                legend=alt.Legend(title="data plane", orient="top"),
            ),
            tooltip=[when(), alt.Tooltip("plane:N"), alt.Tooltip(f"{column}:Q", format=",.0f")],
        )
        .properties(height=HEIGHT)
    )
    return chart
