"""What all charts share: Okabe and Ito's colours, which the colour-blind can tell apart, and time.

Times are shown in the viewer's zone. Dashes and shapes say again what colours say. Encodings are
objects, not strings: for each string Altair hashes its whole schema, which takes milliseconds.
"""

from typing import TypeAlias

import altair as alt
import pandas as pd

Layers: TypeAlias = alt.LayerChart | alt.FacetChart  # as `alt.layer` is annotated

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILION, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)  # of things that have no order
HEIGHT = 260
SILENCE = 3  # least steps
CLOCK = "timeFormat(datum.value, {'hours': '%H:%M', 'minutes': '%H:%M'})"  # of 24 hours


def time_axis() -> alt.X:
    """The column ``at``, in the viewer's zone."""
    return alt.X("at:T", title="time (your zone)", axis=alt.Axis(labelExpr=CLOCK))


def when() -> alt.Tooltip:
    """The time of what is pointed at."""
    return alt.Tooltip("at:T", title="time", format="%d %b %H:%M:%S")


def tips(*columns: str) -> list[alt.Tooltip]:
    """What these columns say of what is pointed at, as they are."""
    return [alt.Tooltip(each) for each in columns]


def level(value: float, said: str, dash: list[int]) -> Layers:
    """A horizontal line at a share, which says what it is."""
    data = alt.Chart(pd.DataFrame({"value": [value], "said": [f"{said} {value:.0%}"]}))
    rule = data.mark_rule(color=VERMILION, strokeDash=dash, strokeWidth=2).encode(
        y=alt.Y("value:Q")
    )
    words = data.mark_text(align="left", baseline="bottom", dx=4, dy=-2, color=VERMILION).encode(
        x=alt.value(0), y=alt.Y("value:Q"), text=alt.Text("said:N")
    )
    return alt.layer(rule, words)


def around(low: float, high: float) -> list[float]:
    """A domain with a margin."""
    margin = (high - low) * 0.1 or max(abs(high) * 0.1, 0.01)
    return [low - margin, high + margin]


def interrupted(course: pd.DataFrame, by: str, *values: str) -> pd.DataFrame:
    """The rows, and one without ``values`` after each silence: no line is drawn across it.

    A silence is thrice as long as the least step of a line, which ``by`` names.
    """
    rows = course.sort_values("at", ignore_index=True)
    steps = rows.groupby(by)["at"].diff()
    least = steps.groupby(rows[by]).transform("min")
    late = steps > SILENCE * least
    if not late.any():
        return course
    silent = rows.assign(at=rows["at"] - steps + least, **dict.fromkeys(values))[late]
    return pd.concat([rows, silent]).sort_values("at")
