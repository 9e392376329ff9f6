"""Charts of spend."""

import altair as alt
import pandas as pd

from dashboard.charts.changes import changes as marked
from dashboard.charts.overview import PURPOSES
from dashboard.charts.style import BLUE, SKY, VERMILION, Layers, time_axis, tips, when

COST = "USD per 1,000 queries"
ROW, AROUND = 34, 80  # pixels: a bar of the waterfall, its legend and axis
TALL = 320
ROOM = 0.25  # of the width, for numbers beside the bars


def waterfall(steps: pd.DataFrame, days: str) -> Layers:
    """From what was spent before to what was after, a bar a driver; colour and sign say which way.

    ``steps``: what, start, end, usd, kind.
    """
    signs = steps["kind"].map({"rise": "+", "fall": "", "total": ""})
    said = steps.assign(
        said=[f"{sign}{usd:.3g}" for sign, usd in zip(signs, steps["usd"], strict=True)],
        edge=steps[["start", "end"]].max(axis=1),
    )
    ends = said[["start", "end"]].to_numpy()
    low, high = min(float(ends.min()), 0.0), max(float(ends.max()), 1e-12)
    scale = alt.Scale(domain=[low, high + ROOM * (high - low)], nice=False)
    title = f"USD in {days}"
    y = alt.Y("what:N", title=None, sort=steps["what"].tolist(), axis=alt.Axis(labelLimit=140))
    base = alt.Chart(said)
    bars = base.mark_bar(height=alt.RelativeBandSize(0.65)).encode(
        x=alt.X("start:Q", title=title, scale=scale), x2=alt.X2("end:Q"), y=y,
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=["total", "rise", "fall"], range=["#888888", VERMILION, BLUE]),
            legend=alt.Legend(title=None, orient="top"),
        ),
        tooltip=[alt.Tooltip("what:N"), alt.Tooltip("usd:Q", format="+.4~g", title="USD")],
    )  # fmt: skip
    words = base.mark_text(align="left", dx=6, fontSize=12).encode(
        x=alt.X("edge:Q", title=title, scale=scale), y=y, text=alt.Text("said:N")
    )
    return alt.layer(bars, words).properties(height=ROW * len(steps) + AROUND)


def course(
    buckets: pd.DataFrame, band: tuple[float, float, float] | None, changes: pd.DataFrame
) -> Layers:
    """Spend per query over time within what the earlier period leads to expect."""
    parts: list[alt.Chart | Layers] = []
    y = alt.Y("usd_per_1000:Q", title=COST, scale=alt.Scale(zero=False))
    if band is not None and len(buckets):
        ends = {"at": [buckets["at"].min()], "until": [buckets["until"].max()]}
        drawn = pd.DataFrame(
            ends | dict(zip(("lo", "middle", "hi"), ([e] for e in band), strict=True))
        )
        parts += [
            alt.Chart(drawn)
            .mark_rect(color=SKY, opacity=0.25)
            .encode(
                x=time_axis(), x2=alt.X2("until:T"), y=alt.Y("lo:Q", title=COST), y2=alt.Y2("hi:Q")
            ),
            alt.Chart(drawn)
            .mark_rule(color=SKY, strokeDash=[6, 3], strokeWidth=2)
            .encode(x=time_axis(), x2=alt.X2("until:T"), y=alt.Y("middle:Q", title=COST)),
        ]
    base = alt.Chart(buckets).encode(x=time_axis())
    told = [when(), _usd(), *tips("queries:Q")]
    parts.append(base.mark_line(color=BLUE, point=len(buckets) < 3).encode(y=y, tooltip=told))
    beyond = alt.Chart(buckets[buckets["outside"]]).encode(x=time_axis())
    parts.append(
        beyond.mark_point(
            shape="triangle-up", filled=True, color=VERMILION, size=70, opacity=1
        ).encode(y=y, tooltip=told)
    )
    return alt.layer(*parts, marked(changes)).properties(height=TALL)


def purposes(course: pd.DataFrame) -> alt.Chart:
    """Spend per query by what it was for, stacked."""
    shown = [purpose for purpose in PURPOSES if purpose in set(course["purpose"])]
    ranked = course.assign(rank=course["purpose"].map(shown.index)).sort_values("rank")
    above = ranked.groupby("at")["usd_per_1000"].cumsum()
    stacked = ranked.assign(below=above - ranked["usd_per_1000"], above=above)
    chart: alt.Chart = (
        alt.Chart(stacked)
        .mark_rect()
        .encode(
            x=time_axis(), x2=alt.X2("until:T"),
            y=alt.Y("below:Q", title=COST), y2=alt.Y2("above:Q"),
            color=alt.Color(
                "purpose:N",
                scale=alt.Scale(domain=shown, range=[PURPOSES[each] for each in shown]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[when(), *tips("purpose:N"), _usd()],
        )
        .properties(height=TALL)
    )  # fmt: skip
    return chart


def _usd() -> alt.Tooltip:
    return alt.Tooltip("usd_per_1000:Q", format=".4~g", title=COST)
