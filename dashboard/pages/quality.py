"""Quality and cost: where on the frontier?"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts import quality as charts
from dashboard.figures.quality import KINDS, Figures, read, told
from dashboard.filters import Filters
from dashboard.frame import folded, page, reading, simulated, table
from dashboard.units import UNKNOWN, age, plain, share, usd

EVERY_S = 30.0


@st.cache_data(ttl=EVERY_S - 1, max_entries=16, show_spinner="Reading the store")
def quality_figures(filters: Filters) -> Figures:
    """The figures, read once for all viewers."""
    with reading() as store:
        return read(store, filters)


def show(filters: Filters) -> None:
    """The page below its title."""
    figures = quality_figures(filters)
    simulated(figures.simulated)
    if figures.points.empty:
        st.info(_nothing(filters))
        return
    _headline(figures)
    _frontier(figures)
    _refusals(figures)
    _course(figures, filters.period)
    said = "A row a way to serve: quality, cost, how it is known."
    folded("All points", "points", lambda: table(told(figures.points), "frontier", said))


def _nothing(filters: Filters) -> str:
    if filters.segment is not None:
        return (
            f"No frontier of segment {plain(filters.segment)} yet: it is computed by segment where "
            "a policy has several. Clear the filter to see all traffic."
        )
    return (
        "No frontier yet: the control plane computes it from 200 observed queries on, then hourly. "
        "Start it by `penstock up` or `penstock control`, and send some."
    )


def _headline(figures: Figures) -> None:
    served, cloud, mix = (
        figures.point("served"),
        figures.point("baseline", "always_cloud"),
        figures.mix,
    )
    assert served is not None
    known = pd.notna(served["quality"])
    columns = st.columns(4)
    with columns[0]:
        _metric(
            "Right answers, as served",
            share(served["quality"], 1) if known else UNKNOWN,
            f"{100 * served['quality_lo']:.1f} to {share(served['quality_hi'], 1)}"
            if known
            else "labels are missing: see below",
        )
    with columns[1]:
        _metric(
            "Cost of 1,000 queries",
            usd(served["usd"]),
            f"{usd(served['usd_lo'])} to {usd(served['usd_hi'])}",
        )
    with columns[2]:
        _metric(
            "Against always-cloud",
            UNKNOWN if cloud is None else f"{100 * (served['usd'] / cloud['usd'] - 1):+.0f} % cost",
            _beside_cloud(served, cloud),
        )
    with columns[3]:
        _metric(
            "Against a coin of the same cost",
            UNKNOWN if mix is None else f"{100 * mix.gain:+.1f} points",
            "needs both ends of the frontier"
            if mix is None
            else f"{100 * mix.lo:+.1f} to {100 * mix.hi:+.1f} points at worst",
        )
    st.caption(_basis(served, figures))


def _metric(label: str, value: str, said: str) -> None:
    st.metric(
        label, value, said, delta_arrow="off", delta_color="off", border=True, height="stretch"
    )


def _beside_cloud(served: Mapping[str, Any] | pd.Series, cloud: pd.Series | None) -> str:
    if cloud is None or pd.isna(cloud["quality"]) or pd.isna(served["quality"]):
        return "its quality is not known yet"
    return f"{100 * (served['quality'] - cloud['quality']):+.1f} points right"


def _basis(served: pd.Series, figures: Figures) -> str:
    at = figures.at
    assert at is not None
    mix = figures.mix
    coin = (
        f" A coin between the two ends{_modelled(figures)} would pay {usd(mix.usd)} for the same "
        "quality."
        if mix
        else ""
    )
    return (
        f"On the last {served['queries']:,} answered queries before the first unresolved audit; "
        f"computed {age(figures.now - at)} ago, hourly.{coin} Cost is that of serving, the "
        "judge's verdicts included; shadows and labels are apart (see Overview)."
    )


def _modelled(figures: Figures) -> str:
    """That an end is no more than modelled, where it is so."""
    ends = figures.ends
    names = [plain(name.replace("_", "-")) for name in ends[ends["method"] == "model"]["name"]]
    return f" ({' and '.join(names)} as modelled)" if names else ""


def _frontier(figures: Figures) -> None:
    st.subheader("Cost and quality of ways to serve")
    measured = figures.measured.assign(what=lambda rows: rows["kind"].map(KINDS))
    curve = figures.curve
    st.altair_chart(
        charts.frontier(measured, curve, figures.live_arm, figures.ends, figures.floor),
        alt=f"{len(measured)} measured points with error bars, by cost and share of right answers; "
        f"a dashed curve of {len(curve)} modelled arms; a dotted line for a coin between the ends.",
    )
    st.caption(
        "Upwards is better, leftwards is cheaper. **Filled marks with bars** are told by labels: "
        "of what served, or, for what did not, by those that count for it. **The dashed line with "
        "hollow marks** is the learner's model of arms that mostly never served: believe it less. "
        "**The thin line**, where categories are named, joins what one tier a category would come "
        "to, at five prices of quality. "
        "**The dotted line** is a coin that sends a share of the queries to the cloud blindly; "
        "what lies above it earns its keep."
    )


def _refusals(figures: Figures) -> None:
    points = figures.points
    refused = points[(points["kind"] != "arm") & points["refused"].notna()]
    arms = points[points["kind"] == "arm"]
    unknown = int(arms["quality"].isna().sum())
    if refused.empty and not unknown:
        return
    with st.expander(f"{len(refused) + unknown} ways to serve are not shown: why"):
        for row in refused.to_dict("records"):
            what, name = KINDS[row["kind"]], plain(row["name"].replace("_", "-"))
            named = what if row["kind"] == "served" else f"{what} {name}"
            st.markdown(f"**{named}**: {plain(row['refused'])}")
        if unknown:
            st.markdown(f"**{unknown} of {len(arms)} modelled arms**: too few effective labels.")


def _course(figures: Figures, period: str) -> None:
    st.subheader("What was served, over time")
    rows = figures.course
    if rows.empty:
        st.info(f"No frontier was computed in the last {period}: choose a longer period.")
        return
    left, right = st.columns(2)
    with left:
        known = rows.dropna(subset="quality")
        if len(known):
            last = share(known["quality"].iloc[-1], 1)
            st.altair_chart(
                charts.course(known, "quality"),
                alt=f"Line in its band: share of right answers, {last} at last.",
            )
        else:
            st.info("Too few labels for an interval in this period.")
    right.altair_chart(
        charts.course(rows, "usd"),
        alt=f"Line in its band: USD per 1,000 queries, {usd(rows['usd'].iloc[-1])} at last.",
    )
    st.caption("Each point looks back on 2,000 queries, so neighbours share most of theirs.")


page("Quality and cost", "Where on the frontier?", show, "segment", every_s=EVERY_S)
