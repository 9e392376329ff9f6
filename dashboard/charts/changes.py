"""Moments at which something changed, as marks on a chart of time."""

import altair as alt
import pandas as pd

from dashboard.charts.style import Layers, time_axis, tips, when

NAMES = {
    "gate": "gate",
    "alarm": "alarm",
    "drift": "drift",
    "certificate": "certificate",
    "certificate_void": "certificate void",
    "proposal": "proposal",
    "rollback": "rollback",
    "pin": "pin",
    "objective": "objective",
}


def changes(found: pd.DataFrame) -> Layers:
    """A dotted line at each, with a diamond that tells what happened."""
    told = found.assign(what=found["kind"].map(NAMES))
    base = alt.Chart(told).encode(x=time_axis(), tooltip=[when(), *tips("what:N", "reason:N")])
    rules = base.mark_rule(strokeDash=[2, 3], color="gray", strokeWidth=1.5)
    marks = base.mark_point(shape="diamond", filled=True, color="gray", size=80, opacity=1)
    return alt.layer(rules, marks.encode(y=alt.value(6)))
