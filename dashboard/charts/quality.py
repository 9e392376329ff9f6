"""Charts of quality against cost."""

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
    level,
    time_axis,
    when,
)

TALL = 440
STYLES = {  # colour and shape of what labels tell of
    "as served": (BLUE, "circle"),
    "live policy": (VERMILION, "diamond"),
    "candidate": (PURPLE, "triangle-up"),
    "earlier version": (GREEN, "square"),
    "baseline": (ORANGE, "cross"),
    "per-category mean": (ORANGE, "triangle-down"),
    "per-segment mean": (ORANGE, "triangle-down"),
}
TABLES = ("per-category mean", "per-segment mean")
COST = "USD per 1,000 queries"
QUALITY = "share of right answers (%)"


def frontier(
    measured: pd.DataFrame,
    curve: pd.DataFrame,
    live: pd.DataFrame,
    ends: pd.DataFrame,
    floor: float | None,
) -> Layers:
    """Ways to serve by cost and quality.

    ``measured`` has a column ``what``, of ``STYLES``: filled marks with their bars. ``curve``: the
    learner's model, a dashed line in its band with hollow marks. ``live``: the live policy, where
    it is no more than modelled. ``ends``: a coin's dotted line.
    """
    parts: list[alt.Chart | Layers] = [
        *_modelled(curve),
        *_live(live),
        *_mixed(ends),
        *_told(measured),
    ]
    if floor is not None:
        parts.append(level(floor, "promised", [2, 2]))
    return alt.layer(*parts).properties(height=TALL)


def _x(name: str = "usd") -> alt.X:
    return alt.X(f"{name}:Q", title=COST, scale=alt.Scale(zero=False, nice=True))


def _y(name: str = "quality") -> alt.Y:
    scale = alt.Scale(zero=False, nice=True)
    return alt.Y(f"{name}:Q", title=QUALITY, scale=scale, axis=alt.Axis(format="%"))


def _tooltip() -> list[alt.Tooltip]:
    shares = [
        alt.Tooltip(f"{name}:Q", format=".1%") for name in ("quality", "quality_lo", "quality_hi")
    ]
    return [alt.Tooltip("name:N"), *shares, alt.Tooltip("usd:Q", format=".4~g", title=COST)]


def _modelled(curve: pd.DataFrame) -> list[alt.Chart]:
    base = alt.Chart(curve)
    band = base.mark_area(color=SKY, opacity=0.15).encode(
        x=_x(), y=_y("quality_lo"), y2=alt.Y2("quality_hi:Q")
    )
    line = base.mark_line(color=SKY, strokeDash=[6, 4]).encode(x=_x(), y=_y())
    arms = base.mark_point(color=SKY, filled=False, size=28, opacity=0.9).encode(
        x=_x(), y=_y(), tooltip=_tooltip()
    )
    return [band, line, arms]


def _live(live: pd.DataFrame) -> list[alt.Chart]:
    base = alt.Chart(live.assign(said="live, modelled")).encode(x=_x(), y=_y())
    mark = base.mark_point(
        color=VERMILION, shape="diamond", filled=False, size=170, strokeWidth=2.5, opacity=1
    )
    words = base.mark_text(color=VERMILION, align="right", dx=-12, dy=-8, fontSize=12)
    return [mark.encode(tooltip=_tooltip()), words.encode(text=alt.Text("said:N"))]


def _mixed(ends: pd.DataFrame) -> list[alt.Chart]:
    return [
        alt.Chart(ends)
        .mark_line(color="gray", strokeDash=[1, 4], strokeWidth=2)
        .encode(x=_x(), y=_y())
    ]


def _told(measured: pd.DataFrame) -> list[alt.Chart]:
    shown = [what for what in STYLES if what in set(measured["what"])]
    colours, shapes = zip(*(STYLES[what] for what in shown), strict=True) if shown else ((), ())
    legend = alt.Legend(title=None, orient="top", columns=2)
    colour = alt.Color("what:N", scale=alt.Scale(domain=shown, range=list(colours)), legend=legend)
    shape = alt.Shape("what:N", scale=alt.Scale(domain=shown, range=list(shapes)), legend=legend)
    base = alt.Chart(measured)
    upright = base.mark_rule(strokeWidth=2).encode(
        x=_x(), y=_y("quality_lo"), y2=alt.Y2("quality_hi:Q"), color=colour
    )
    across = base.mark_rule(strokeWidth=2).encode(
        x=_x("usd_lo"), x2=alt.X2("usd_hi:Q"), y=_y(), color=colour
    )
    points = base.mark_point(filled=True, size=140, opacity=1).encode(
        x=_x(), y=_y(), color=colour, shape=shape, tooltip=_tooltip()
    )
    tables = alt.Chart(measured[measured["what"].isin(TABLES)])
    joined = tables.mark_line(strokeWidth=1).encode(x=_x(), y=_y(), color=colour)
    return [upright, across, joined, points, *_named(measured, colour)]


def _named(measured: pd.DataFrame, colour: alt.Color) -> list[alt.Chart]:
    """Names beside the marks, inwards, so that none is cut off; a dear baseline's above its."""
    shown = measured[~measured["what"].isin(("as served", *TABLES))]
    dear = shown["usd"] > (measured["usd"].min() + measured["usd"].max()) / 2
    above = dear & (shown["what"] == "baseline")
    said = shown.assign(said=shown["name"].str.replace("_", "-"))
    return [
        alt.Chart(said[(dear == right) & (above == up)])
        .mark_text(
            align="right" if right else "left",
            dx=-10 if right else 10,
            dy=-14 if up else 14,
            fontSize=12,
        )
        .encode(x=_x(), y=_y(), text=alt.Text("said:N"), color=colour)
        for right in (False, True)
        for up in (False, True)
    ]


def course(rows: pd.DataFrame, name: str) -> Layers:
    """Quality or cost of what was served, as told from hour to hour, within its interval."""
    share = name == "quality"
    y = (_y if share else _cost)(f"{name}_lo")
    base = alt.Chart(rows).encode(x=time_axis())
    colour = BLUE if share else ORANGE
    band = base.mark_area(color=colour, opacity=0.25).encode(y=y, y2=alt.Y2(f"{name}_hi:Q"))
    form = ".1%" if share else ".4~g"
    told = [alt.Tooltip(f"{each}:Q", format=form) for each in (name, f"{name}_lo", f"{name}_hi")]
    line = base.mark_line(color=colour, point=len(rows) < 3).encode(
        y=(_y if share else _cost)(name), tooltip=[when(), *told]
    )
    return alt.layer(band, line).properties(height=HEIGHT)


def _cost(name: str) -> alt.Y:
    return alt.Y(f"{name}:Q", title=COST, scale=alt.Scale(zero=False))
