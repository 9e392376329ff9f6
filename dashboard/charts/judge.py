"""Charts of the judge."""

import altair as alt
import pandas as pd

from dashboard.charts.changes import changes as marked
from dashboard.charts.style import (
    BLUE,
    ORANGE,
    VERMILION,
    Layers,
    time_axis,
    tips,
    when,
)

UNIT = alt.Scale(domain=[0, 1])
PERCENT = alt.Axis(format="%")
TALL = 320


def calibration(bins: pd.DataFrame) -> Layers:
    """What the score promised against what labels found; on the diagonal the judge is honest."""
    titles = "promised P(local answer is right) (%)", "share right, by labels (%)"
    base = alt.Chart(bins).encode(x=_unit_x("predicted", titles[0]))
    bands = base.mark_rule(color=BLUE, strokeWidth=2).encode(
        y=_unit_y("right_share_lo", titles[1]), y2=alt.Y2("right_share_hi:Q")
    )
    shares = ("predicted", "right_share", "right_share_lo", "right_share_hi")
    points = base.mark_point(filled=True, color=BLUE, opacity=1, size=70).encode(
        y=_unit_y("right_share", titles[1]),
        tooltip=[
            *(alt.Tooltip(f"{name}:Q", format=".1%") for name in shares),
            alt.Tooltip("labels:Q"),
        ],
    )
    return alt.layer(_diagonal(*titles), bands, points).properties(height=TALL)


def _unit_x(name: str, title: str) -> alt.X:
    return alt.X(f"{name}:Q", title=title, scale=UNIT, axis=PERCENT)


def _unit_y(name: str, title: str) -> alt.Y:
    return alt.Y(f"{name}:Q", title=title, scale=UNIT, axis=PERCENT)


def _diagonal(across: str, upwards: str) -> alt.Chart:
    ends = alt.Chart(pd.DataFrame({"x": [0, 1], "y": [0, 1]}))
    chart: alt.Chart = ends.mark_line(color="gray", strokeDash=[6, 3]).encode(
        x=_unit_x("x", across), y=_unit_y("y", upwards)
    )
    return chart


def confusion(cells: pd.DataFrame) -> Layers:
    """Right and wrong answers by what the cutoff does with them; the darker, the more."""
    wrongly = (cells["answer"] == "right") != (cells["verdict"] == "accepted")
    said = cells.assign(
        percent=[f"{each:.1%}" for each in cells["share"]],
        counted=["" if pd.isna(each) else f"{each:,.0f} labels" for each in cells["labels"]],
        judged=wrongly.map({True: "misjudged", False: "well judged"}),
    )
    axis = alt.Axis(labelAngle=0, orient="top")
    base = alt.Chart(said).encode(
        x=alt.X("verdict:N", title="at the cutoff", axis=axis, sort=["accepted", "escalated"]),
        y=alt.Y("answer:N", title="local answer, by labels", sort=["right", "wrong"]),
    )
    tiles = base.mark_rect(stroke="gray", strokeWidth=1).encode(
        color=alt.Color(
            "judged:N",
            scale=alt.Scale(domain=["well judged", "misjudged"], range=[BLUE, ORANGE]),
            legend=alt.Legend(title=None, orient="bottom"),
        ),
        opacity=alt.Opacity(
            "share:Q", scale=alt.Scale(domain=[0, 1], range=[0.08, 0.5]), legend=None
        ),
        tooltip=[
            *tips("answer:N", "verdict:N"),
            *(alt.Tooltip(f"{n}:Q", format=".1%") for n in ("share", "lo", "hi")),
        ],
    )
    percents = base.mark_text(fontSize=20, fontWeight="bold", dy=-8).encode(
        text=alt.Text("percent:N")
    )
    counts = base.mark_text(fontSize=13, dy=14).encode(text=alt.Text("counted:N"))
    return alt.layer(tiles, percents, counts).properties(height=TALL)


def roc(points: pd.DataFrame, at_cutoff: pd.DataFrame) -> Layers:
    """Right against wrong answers accepted, over all cutoffs; the live cutoff with its bars.

    ``at_cutoff`` has one row: wrong_accepted, right_accepted, each with _lo and _hi.
    """
    titles = "wrong answers accepted (%)", "right answers accepted (%)"
    x, y = _unit_x("wrong_accepted", titles[0]), _unit_y("right_accepted", titles[1])
    numbers = [
        alt.Tooltip("wrong_accepted:Q", format=".1%"),
        alt.Tooltip("right_accepted:Q", format=".1%"),
    ]
    line = (
        alt.Chart(points)
        .mark_line(color=BLUE, interpolate="step-after", strokeWidth=2)
        .encode(x=x, y=y, tooltip=[alt.Tooltip("cutoff:Q", format=".3f"), *numbers])
    )
    here = alt.Chart(at_cutoff.assign(said="live cutoff"))
    across = here.mark_rule(color=VERMILION, strokeWidth=2).encode(
        x=_unit_x("wrong_accepted_lo", titles[0]), x2=alt.X2("wrong_accepted_hi:Q"), y=y
    )
    upright = here.mark_rule(color=VERMILION, strokeWidth=2).encode(
        x=x, y=_unit_y("right_accepted_lo", titles[1]), y2=alt.Y2("right_accepted_hi:Q")
    )
    point = here.mark_point(shape="diamond", filled=True, color=VERMILION, size=130, opacity=1)
    if float(at_cutoff["wrong_accepted"].iloc[0]) > 0.6:
        text = here.mark_text(color=VERMILION, align="right", dx=-12, dy=14)
    else:
        text = here.mark_text(color=VERMILION, align="left", dx=12, dy=14)
    words = text.encode(x=x, y=y, text=alt.Text("said:N"))
    marks = (across, upright, point.encode(x=x, y=y, tooltip=numbers), words)
    return alt.layer(_diagonal(*titles), line, *marks).properties(height=TALL)


def scores(bins: pd.DataFrame, cutoff: float | None, judge: str) -> Layers:
    """Right answers' scores upwards, wrong ones' downwards; what is below the cutoff is paler."""
    sides = [
        bins.assign(answer=f"{name} answers", share=sign * bins[f"{name}_share"],
                    labels=bins[f"{name}_labels"])
        for name, sign in (("right", 1), ("wrong", -1))
    ]  # fmt: skip
    drawn = pd.concat(sides)
    drawn["accepted"] = drawn["low"] >= (drawn["low"].min() if cutoff is None else cutoff - 1e-9)
    title = f"raw {judge} score"
    percent = alt.Axis(labelExpr="format(abs(datum.value), '.0%')")
    bars = (
        alt.Chart(drawn.assign(none=0.0, size=drawn["share"].abs()))
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False, nice=False)),
            x2=alt.X2("high:Q"),
            y=alt.Y("share:Q", title="share of the right, of the wrong (%)", axis=percent),
            y2=alt.Y2("none:Q"),
            color=alt.Color(
                "answer:N",
                scale=alt.Scale(domain=["right answers", "wrong answers"], range=[BLUE, ORANGE]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            opacity=alt.condition("datum.accepted", alt.value(1), alt.value(0.45)),
            tooltip=[
                *tips("answer:N", "labels:Q"), alt.Tooltip("low:Q", format=".3f"),
                alt.Tooltip("high:Q", format=".3f"),
                alt.Tooltip("size:Q", format=".1%", title="share"),
            ],
        )
    )  # fmt: skip
    return alt.layer(bars, *_cutoff(cutoff, title)).properties(height=TALL)


def _cutoff(cutoff: float | None, title: str) -> list[alt.Chart]:
    if cutoff is None:
        return []
    here = alt.Chart(pd.DataFrame({"cutoff": [cutoff], "said": [f"cutoff {cutoff:.3g}"]}))
    x = alt.X("cutoff:Q", title=title)
    rule = here.mark_rule(color=VERMILION, strokeWidth=2, strokeDash=[6, 3]).encode(x=x)
    words = here.mark_text(color=VERMILION, align="right", dx=-5).encode(
        x=x, y=alt.value(8), text=alt.Text("said:N")
    )
    return [rule, words]


def over_time(
    stretches: pd.DataFrame, hours: pd.DataFrame, changes: pd.DataFrame, name: str, title: str
) -> Layers:
    """A figure in stretches of as many labels, boxes; as known at each hour, a line in its band."""
    y = alt.Y(f"{name}_lo:Q", title=title, scale=alt.Scale(zero=False), axis=_axis(name))
    shares = [alt.Tooltip(f"{end}:Q", format=".3f") for end in (name, f"{name}_lo", f"{name}_hi")]
    told = [when(), *shares, alt.Tooltip("labels:Q")]
    boxes = alt.Chart(stretches)
    box = boxes.mark_rect(color=ORANGE, opacity=0.25).encode(
        x=time_axis(), x2=alt.X2("until:T"), y=y, y2=alt.Y2(f"{name}_hi:Q"), tooltip=told
    )
    middle = boxes.mark_rule(color=ORANGE, strokeWidth=3).encode(
        x=time_axis(), x2=alt.X2("until:T"), y=alt.Y(f"{name}:Q", title=title), tooltip=told
    )
    course = alt.Chart(hours).encode(x=time_axis())
    band = course.mark_area(color=BLUE, opacity=0.2).encode(y=y, y2=alt.Y2(f"{name}_hi:Q"))
    line = course.mark_line(color=BLUE, point=len(hours) < 3).encode(
        y=alt.Y(f"{name}:Q", title=title), tooltip=told
    )
    return alt.layer(box, middle, band, line, marked(changes)).properties(height=TALL)


def _axis(name: str) -> alt.Axis:
    return alt.Axis() if name == "auroc" else alt.Axis(format="%")
