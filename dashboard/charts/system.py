"""Chart of the system page."""

import altair as alt
import pandas as pd

from dashboard.charts.style import COLOURS, HEIGHT, interrupted, time_axis, when


def spools(course: pd.DataFrame) -> alt.Chart:
    """The most records that waited in each spool, by time."""
    chart: alt.Chart = (
        alt.Chart(interrupted(course, "plane", "records"))
        .mark_line(point=len(course) < 20)
        .encode(
            x=time_axis(),
            y=alt.Y("records:Q", title="records waiting (most)"),
            color=alt.Color(
                "plane:N",
                scale=alt.Scale(range=list(COLOURS)),
                legend=alt.Legend(title="data plane", orient="top"),
            ),
            strokeDash=alt.StrokeDash("plane:N", legend=None),
            tooltip=[when(), *map(alt.Tooltip, ("plane:N", "records:Q", "oldest_s:Q"))],
        )
        .properties(height=HEIGHT)
    )
    return chart
