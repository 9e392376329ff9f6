"""History: what changed, newest first, as lines to read and as a table to keep."""

from datetime import datetime

import pandas as pd
import streamlit as st

from dashboard.charts.changes import NAMES
from dashboard.frame import folded, table
from dashboard.units import age, plain

LINES = 8  # told at a glance; the table has them all


def changes(found: pd.DataFrame, now: datetime, period: str, name: str) -> None:
    """Columns ``at``, ``kind``, ``standing`` and ``reason``; ``name`` is that of the CSV."""
    st.subheader("What changed")
    if found.empty:
        st.caption(f"Nothing was found to change in the last {period}: no alarm, drift or gate.")
        return
    for row in found.head(LINES).to_dict("records"):
        ago = age(now - row["at"].to_pydatetime())
        st.markdown(f"**{NAMES[row['kind']]}**, {ago} ago: {plain(str(row['reason']))}")
    folded(
        f"All {len(found)} as a table",
        "all_changes",
        lambda: table(found, name, "A row a change: when (UTC), of what kind, and why."),
    )
