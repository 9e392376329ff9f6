"""Cost drift: why did spend change?"""

from datetime import timedelta
from typing import Any

import streamlit as st

from dashboard.charts import cost as charts
from dashboard.control import Control
from dashboard.figures.cost import (
    LONGEST_DAYS,
    Course,
    Drift,
    drift,
    read,
    sentence,
    steps,
)
from dashboard.filters import Filters
from dashboard.frame import folded, page, reading, simulated, table, told
from dashboard.history import changes
from dashboard.person import Person, current
from dashboard.units import UNKNOWN, plain, usd

EVERY_S = 60.0
DAY = timedelta(days=1)
AGAINST = {"the one before": 1.0, "the four before": 4.0}


@st.cache_data(ttl=EVERY_S - 1, max_entries=16, show_spinner="Reading the store")
def cost_figures(filters: Filters, times: float) -> Course:
    """Spend over time, read once for all viewers."""
    with reading() as store:
        return read(store, filters, times)


@st.cache_data(ttl=EVERY_S - 1, max_entries=16, show_spinner="Comparing two periods")
def compare(person: Person, days: float, before: float) -> dict[str, Any]:
    """What the control plane makes of the change."""
    return Control(person).get("/v1/cost/drift", days=days, before=before)


def show(filters: Filters) -> None:
    """The page below its title."""
    times = AGAINST[_against(filters)]
    course = cost_figures(filters, times)
    simulated(course.simulated)
    if not course.queries:
        st.info(_nothing(course, filters))
    with told():
        days = filters.span / DAY
        _drift(drift(compare(current(), days, times * days), filters.segment), filters)
    if course.queries:
        _course(course)
    changes(course.changes, course.now, filters.period, "cost_changes")


def _against(filters: Filters) -> str:
    """Which period to set against: as many as the control plane can look back on."""
    days = filters.span / DAY
    offered = [name for name, times in AGAINST.items() if times * days <= LONGEST_DAYS]
    chosen = st.segmented_control(
        f"This {filters.period} against", offered, default=offered[0], required=True, key="against",
        bind="query-params",
    )  # fmt: skip
    return chosen or offered[0]


def _nothing(course: Course, filters: Filters) -> str:
    where = f" in segment {plain(filters.segment)}" if filters.segment else ""
    if course.queries_before:
        return f"No query came{where} in the last {filters.period}, and some did before."
    return f"No query came{where} in the last {filters.period}: choose a longer period."


def _drift(found: Drift, filters: Filters) -> None:
    where = f"Segment {plain(filters.segment)}: " if filters.segment else ""
    st.markdown(f"#### {where}{plain(sentence(found))}")
    if found.uncovered:
        st.caption(
            "The earlier period has no queries at its beginning: part of what looks like a rise is "
            "that Penstock began to serve within it."
        )
    if found.unsummed:
        st.caption(f"{found.unsummed:,} records have arrived that are not counted yet.")
    _headline(found)
    if found.ranked and found.first_at is not None:
        _waterfall(found, filters)
    if len(found.cells):
        said = "A row a segment, tier and purpose: spend, change."
        folded(
            "By segment, tier and purpose",
            "cells",
            lambda: table(found.cells.round(8), "cost_drift", said),
        )


def _waterfall(found: Drift, filters: Filters) -> None:
    left, right = st.columns([3, 2])
    with left:
        st.subheader("What drove the change")
        span = _span(filters)
        st.altair_chart(
            charts.waterfall(steps(found), span),
            alt=f"Waterfall: {usd(found.before_usd)} before, "
            + ", ".join(f"{name} {change:+.3g} USD" for name, change in found.ranked)
            + f", {usd(found.after_usd)} after.",
        )
    with right:
        st.subheader("How to read it")
        scaled = (
            ""
            if found.days == found.before_days
            else f" The earlier {found.before_days:g} days are scaled to {found.days:g}."
        )
        st.caption(
            "Spend is queries times the share of each segment times calls a query times tokens a "
            "call times price. Each driver's bar is what spend changed by when that factor alone "
            "moves, averaged over all orders in which they may (Shapley): the bars sum to the "
            "change exactly. Routing: which tiers were called to serve. Mix: which segments asked. "
            f"Shadowing includes audits; labels are apart.{scaled}"
        )


def _span(filters: Filters) -> str:
    return f"the {filters.period}"


def _headline(found: Drift) -> None:
    known = found.first_at is not None
    before = found.queries_before
    columns = st.columns(4)
    with columns[0]:
        _metric("Spend a day", usd(found.after_usd / found.days), _changed(found, known))
    with columns[1]:
        _metric(
            "Queries",
            f"{found.queries:,.0f}",
            f"{100 * (found.queries / before - 1):+.0f} %, it was {before:,.0f}"
            if before
            else "none before",
        )
    with columns[2]:
        now = 1000 * found.after_usd / found.queries if found.queries else None
        _metric(
            "Cost of 1,000 queries",
            usd(now) if now is not None else UNKNOWN,
            f"it was {usd(1000 * found.before_usd / before)}" if before else "none before",
        )
    with columns[3]:
        name, change = found.ranked[0] if found.ranked and known else ("none", 0.0)
        of = f"{change:+.3g} USD of {found.change_usd:+.3g}" if change else "nothing moved"
        _metric("Chief driver", name, of)


def _changed(found: Drift, known: bool) -> str:
    if not known:
        return "nothing before to compare with"
    if not found.before_usd:
        return "nothing was spent before"
    change = 100 * found.change_usd / found.before_usd
    return f"{change:+.1f} %, it was {usd(found.before_usd / found.days)}"


def _metric(label: str, value: str, said: str) -> None:
    st.metric(
        label, value, said, delta_arrow="off", delta_color="off", border=True, height="stretch"
    )


def _course(course: Course) -> None:
    left, right = st.columns(2)
    with left:
        st.subheader("Cost per query, as expected?")
        st.altair_chart(
            charts.course(course.buckets, course.band, course.changes),
            alt=f"Line: USD per 1,000 queries over time; {course.outside} of "
            f"{len(course.buckets)} buckets lie outside the expected band.",
        )
        st.caption(_expected(course))
    with right:
        st.subheader("Cost per query by purpose")
        st.altair_chart(
            charts.purposes(course.purposes),
            alt="Stacked bars: USD per 1,000 queries by purpose over time.",
        )
        st.caption(
            "All calls of all purposes, charged to the queries of the same time. Labels are apart."
            + (" Read from sums by ten minutes." if course.summed else "")
        )


def _expected(course: Course) -> str:
    if course.band is None:
        return (
            "No band yet: it takes ten stretches of the earlier period that had queries. Diamonds "
            "mark changes, listed below."
        )
    low, middle, high = course.band
    return (
        f"Expected: {usd(low)} to {usd(high)}, within which nine of ten stretches of the earlier "
        f"period lay (their median {usd(middle)}, dashed); so a tenth lies outside by chance. "
        f"{course.outside} of {len(course.buckets)} do, marked by triangles. Diamonds mark "
        "changes, listed below."
    )


page("Cost drift", "Why did spend change?", show, "segment", every_s=EVERY_S)
