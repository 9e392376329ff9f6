"""Charts of the overview."""

import altair as alt
import pandas as pd

from dashboard.charts.style import (
    BLUE,
    GREEN,
    HEIGHT,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Layers,
    around,
    level,
    time_axis,
    when,
)

PURPOSES = {"serve": BLUE, "judge": ORANGE, "shadow": SKY, "router": GREEN, "audit": PURPLE}
ALWAYS_CLOUD = "always-cloud"


def quality(course: pd.DataFrame, target: float | None, floor: float | None) -> Layers:
    """Served quality with its interval, against the target and the target less its tolerance."""
    title = "share of right answers (%)"
    axis = alt.Axis(format="%")
    base = alt.Chart(course).encode(x=time_axis())
    band = base.mark_area(opacity=0.25, color=BLUE).encode(
        y=alt.Y("lo:Q", title=title, axis=axis, scale=alt.Scale(zero=False)), y2=alt.Y2("hi:Q")
    )
    shares = [alt.Tooltip(f"{name}:Q", format=".1%") for name in ("quality", "lo", "hi")]
    line = base.mark_line(color=BLUE, point=len(course) == 1).encode(
        y=alt.Y("quality:Q", title=title, axis=axis),
        tooltip=[when(), *shares, alt.Tooltip("labels:Q")],
    )
    levels = [
        level(value, said, dash)
        for value, said, dash in ((target, "target", [6, 3]), (floor, "less tolerance", [2, 2]))
        if value is not None
    ]
    return alt.layer(band, line, *levels).properties(height=HEIGHT)


def cost(course: pd.DataFrame, cloud: pd.DataFrame) -> Layers:
    """Cost per 1,000 queries by purpose, stacked, and the estimate for always-cloud."""
    stacked = _stacked(course)
    shown = [purpose for purpose in PURPOSES if purpose in set(course["purpose"])]
    colour = alt.Color(
        "purpose:N",
        scale=alt.Scale(
            domain=[*shown, ALWAYS_CLOUD], range=[*map(PURPOSES.__getitem__, shown), VERMILION]
        ),
        legend=alt.Legend(title=None, orient="top", columns=6, symbolType="square"),
    )
    title = "USD per 1,000 queries"
    told = [when(), alt.Tooltip("purpose:N"), alt.Tooltip("usd_per_1000:Q", format=".4~g")]
    bars = (
        alt.Chart(stacked)
        .mark_rect()
        .encode(
            x=time_axis(),
            x2=alt.X2("until:T"),
            y=alt.Y("below:Q", title=title),
            y2=alt.Y2("above:Q"),
            color=colour,
            tooltip=told,
        )
    )
    line = (
        alt.Chart(cloud.assign(purpose=ALWAYS_CLOUD))
        .mark_line(interpolate="step-after", strokeDash=[6, 3], strokeWidth=2.5)
        .encode(x=time_axis(), y=alt.Y("usd_per_1000:Q", title=title), color=colour, tooltip=told)
    )
    return alt.layer(bars, line).properties(height=HEIGHT)


def steps(course: pd.DataFrame, column: str, title: str, ends: tuple[float, float]) -> alt.Chart:
    """A number of the policy as it moved from version to version, a line a segment.

    Its ``ends`` stand for always and never: they do not stretch the scale, at whose edge they lie.
    """
    moving = course.loc[course[column].between(*ends, inclusive="neither"), column]
    drawn = moving if len(moving) else course[column]
    scale = alt.Scale(domain=around(float(drawn.min()), float(drawn.max())), clamp=True)
    segments = course["segment"].nunique() > 1
    named = (alt.Tooltip(name) for name in ("version:O", "mode:N", "segment:N"))
    told = [when(), *named, alt.Tooltip(f"{column}:Q", format=".4f")]
    chart: alt.Chart = (
        alt.Chart(course)
        .mark_line(interpolate="step-after", point=alt.OverlayMarkDef(size=24))
        .encode(
            x=time_axis(),
            y=alt.Y(f"{column}:Q", title=title, scale=scale),
            color=alt.Color("segment:N", scale=alt.Scale(range=list(PURPOSES.values())))
            if segments
            else alt.value(BLUE),
            tooltip=told,
        )
        .properties(height=HEIGHT)
    )
    return chart


def _stacked(course: pd.DataFrame) -> pd.DataFrame:
    """Each bucket's purposes on top of each other, from ``below`` to ``above``."""
    ranked = course.assign(rank=course["purpose"].map(list(PURPOSES).index)).sort_values("rank")
    above = ranked.groupby("at")["usd_per_1000"].cumsum()
    return ranked.assign(below=above - ranked["usd_per_1000"], above=above)
