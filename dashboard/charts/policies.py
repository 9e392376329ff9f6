"""Charts of the policies: which version led when, and how the evidence on a proposal grows."""

import altair as alt
import pandas as pd

from dashboard.charts.style import (
    BLUE,
    COLOURS,
    HEIGHT,
    ORANGE,
    VERMILION,
    Layers,
    time_axis,
    tips,
    when,
)

AUTHORS = dict(zip(("learner", "operator", "rollback"), COLOURS, strict=False))


def course(published: pd.DataFrame) -> Layers:
    """Which version led when; a point where it was published, its shape says by whom."""
    authors = [each for each in AUTHORS if each in set(published["author"])]
    colour = alt.Color(
        "author:N",
        scale=alt.Scale(domain=authors, range=[AUTHORS[each] for each in authors]),
        legend=alt.Legend(title="written by", orient="top"),
    )
    y = alt.Y("version:Q", title="policy version", axis=alt.Axis(format="d", tickMinStep=1),
              scale=alt.Scale(zero=False, nice=False, padding=12))  # fmt: skip
    told = [when(), *tips("version:O", "author:N", "kind:N", "reason:N")]
    base = alt.Chart(published)
    spans = base.mark_rule(strokeWidth=3).encode(
        x=time_axis(), x2=alt.X2("until:T"), y=y, color=colour, tooltip=told
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=time_axis(), y=y, color=colour, tooltip=told,
        shape=alt.Shape("author:N", scale=alt.Scale(domain=authors), legend=None),
    )  # fmt: skip
    return alt.layer(spans, points).properties(height=HEIGHT)


def evidence(looks: pd.DataFrame, wanted: float) -> Layers:
    """Both e-values, pair by pair, on a logarithmic scale, against what a verdict takes."""
    low = min(float(looks["e_value"].min()), 0.1)
    high = max(float(looks["e_value"].max()), wanted) * 3
    y = alt.Y(
        "e_value:Q", title="e-value (log scale)",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(format="~g", tickCount=6),
    )  # fmt: skip
    x = alt.X("pairs:Q", title="pairs of labels", axis=alt.Axis(format="d", tickMinStep=1))
    sides = list(looks["evidence"].unique())
    colour = alt.Color(
        "evidence:N",
        scale=alt.Scale(domain=sides, range=[BLUE, ORANGE]),
        legend=alt.Legend(title="evidence", orient="top"),
    )
    dash = alt.StrokeDash("evidence:N", scale=alt.Scale(domain=sides), legend=None)
    told = [when(), *tips("pairs:Q", "evidence:N"), alt.Tooltip("e_value:Q", format=".3~g")]
    lines = (
        alt.Chart(looks)
        .mark_line(strokeWidth=2.5)
        .encode(x=x, y=y, color=colour, strokeDash=dash, tooltip=told)
    )
    return alt.layer(lines, _threshold(wanted, y)).properties(height=HEIGHT)


def _threshold(wanted: float, y: alt.Y) -> Layers:
    said = f"a verdict takes {wanted:.3g}"
    data = alt.Chart(pd.DataFrame({"e_value": [wanted], "said": [said]}))
    rule = data.mark_rule(color=VERMILION, strokeDash=[6, 3], strokeWidth=2).encode(y=y)
    words = data.mark_text(align="left", baseline="bottom", dx=4, dy=-3, color=VERMILION).encode(
        x=alt.value(0), y=y, text=alt.Text("said:N")
    )
    return alt.layer(rule, words)
