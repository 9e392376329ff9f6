"""Charts of one decision."""

import altair as alt
import pandas as pd

from dashboard.charts.style import BLUE, COLOURS, ORANGE, VERMILION, Layers, tips

SIDES = {"right": (BLUE, 1), "wrong": (ORANGE, -1)}
BAR = 30  # pixels of a horizontal bar and its gap
AROUND, LEGEND = 100, 50  # of the axis, and of a legend
RIGHT_AND_WRONG = "share: wrong down, right up"


def judge(
    bins: pd.DataFrame, labelled: pd.DataFrame, score: float | None, cutoff: float | None
) -> Layers:
    """How the judge scores right answers, upwards, and wrong ones, downwards: as the policy's table
    has it in bars, and the last labelled answers as ticks; this answer's score and its cutoff.
    """
    drawn = bins.assign(
        height=bins["share"] * bins["answer"].map(lambda each: SIDES[each][1]).astype(float)
    )
    top = float(bins["share"].max()) * 1.25
    low, high = float(bins["lo"].min()), float(bins["hi"].max())
    across = alt.Scale(domain=[low, high], clamp=True, nice=False)
    up = alt.Scale(domain=[-top, top])
    axis = alt.Axis(format="%", labelExpr="format(abs(datum.value), '.0%')")
    colour = alt.Color(
        "answer:N",
        scale=alt.Scale(domain=list(SIDES), range=[side[0] for side in SIDES.values()]),
        legend=alt.Legend(title="answers that labels found", orient="top"),
    )
    x = alt.X("lo:Q", title="raw judge score", scale=across)
    title = RIGHT_AND_WRONG
    bars = (
        alt.Chart(drawn)
        .mark_rect(opacity=0.55, stroke="white")
        .encode(
            x=x,
            x2=alt.X2("hi:Q"),
            y=alt.Y("height:Q", title=title, scale=up, axis=axis),
            y2=alt.Y2Datum(0),
            color=colour,
            tooltip=[
                alt.Tooltip("answer:N"), alt.Tooltip("lo:Q", title="from", format=".3f"),
                alt.Tooltip("hi:Q", title="to", format=".3f"), alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )  # fmt: skip
    layers: list[alt.Chart | Layers] = [bars]
    if len(labelled):
        layers.append(_ticks(labelled, across, up, top))
    for value, said, ink, dash, place in (
        (cutoff, "cutoff", VERMILION, [6, 3], 0),
        (score, "this answer", "black", [1, 0], 1),
    ):
        if value is not None:
            layers.append(_mark(value, said, ink, dash, place, across))
    return alt.layer(*layers).properties(height=340)


def _ticks(labelled: pd.DataFrame, across: alt.Scale, up: alt.Scale, top: float) -> alt.Chart:
    named = labelled.assign(
        answer=(labelled["value"] >= 0.5).map({True: "right", False: "wrong"}),
        height=(labelled["value"] >= 0.5).map({True: 0.94 * top, False: -0.94 * top}),
    )
    ticks: alt.Chart = (
        alt.Chart(named)
        .mark_tick(thickness=1, size=12, opacity=0.7)
        .encode(
            x=alt.X("raw:Q", title="raw judge score", scale=across),
            y=alt.Y("height:Q", scale=up, title=RIGHT_AND_WRONG),
            color=alt.Color("answer:N"),
            tooltip=[alt.Tooltip("answer:N"), alt.Tooltip("raw:Q", title="score", format=".4f")],
        )
    )
    return ticks


def _mark(
    value: float, said: str, ink: str, dash: list[int], place: int, across: alt.Scale
) -> Layers:
    data = alt.Chart(pd.DataFrame({"lo": [value], "said": [f"{said} {value:.3f}"]}))
    x = alt.X("lo:Q", title="raw judge score", scale=across)
    rule = data.mark_rule(color=ink, strokeDash=dash, strokeWidth=2).encode(x=x)
    lowest, highest = across.to_dict()["domain"]
    beyond_middle = value > (lowest + highest) / 2
    words = data.mark_text(
        align="right" if beyond_middle else "left", dx=-6 if beyond_middle else 6, color=ink,
        fontWeight="bold", baseline="top",
    ).encode(x=x, y=alt.value(26 + 16 * place), text=alt.Text("said:N"))  # fmt: skip
    return alt.layer(rule, words)


def values(frame: pd.DataFrame) -> alt.Chart:
    """What each action was worth, step by step, the chosen ones in full colour."""
    named = frame.assign(label=frame["step"].str.partition(".")[0] + ". " + frame["action"])
    chart: alt.Chart = (
        alt.Chart(named)
        .mark_bar(height=16)
        .encode(
            x=alt.X("value:Q", title="value (quality less lambda times cost)"),
            y=alt.Y("label:N", title="step", sort=None),
            color=alt.Color(
                "chosen:N",
                scale=alt.Scale(domain=["chosen", "not chosen"], range=[BLUE, "#9AA5B1"]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[
                *tips("step:N", "action:N", "chosen:N"),
                alt.Tooltip("value:Q", format=".5f"),
            ],
        )
        .properties(height=BAR * len(named) + AROUND + LEGEND)
    )
    return chart


def costs(calls: pd.DataFrame) -> alt.Chart:
    """What each call cost, by its purpose."""
    purposes = sorted(set(calls["purpose"]))
    chart: alt.Chart = (
        alt.Chart(calls)
        .mark_bar(height=16)
        .encode(
            x=alt.X("cost_usd:Q", title="cost (USD)", axis=alt.Axis(format="~g", tickCount=6)),
            y=alt.Y("call:N", title="call", sort=None),
            color=alt.Color(
                "purpose:N",
                scale=alt.Scale(domain=purposes, range=list(COLOURS[: len(purposes)])),
                legend=None,
            ),
            tooltip=[
                *tips("call:N", "model:N"),
                alt.Tooltip("cost_usd:Q", format=".3~g"),
            ],
        )
        .properties(height=BAR * len(calls) + AROUND)
    )
    return chart
