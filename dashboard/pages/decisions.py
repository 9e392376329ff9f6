"""Decisions: why this answer? A searchable log, and one decision in full."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pandas as pd
import streamlit as st

from dashboard.control import Control
from dashboard.figures.decisions import (
    Log,
    Place,
    Search,
    read,
)
from dashboard.filters import Filters
from dashboard.frame import csv, page, reading, time_column
from dashboard.parts.explained import explain
from dashboard.person import current
from dashboard.units import age, plain

DECISION, BEFORE = "decision", "before"  # in the address
STATUSES = ("ok", "error", "aborted", "unknown")
YES_NO = {"escalated": True, "not escalated": False}
MAY_READ = ("operator",)  # what people wrote


def show(filters: Filters) -> None:
    """The log, or the decision that the address names."""
    chosen = st.query_params.get(DECISION)
    if chosen is None:
        _log(filters)
        return
    st.button("Back to the log", on_click=_leave, icon=":material/arrow_back:")
    with st.expander("Search the log"):
        _asked()  # a search that is not drawn would leave the address
    try:
        decision_id = UUID(chosen)
    except ValueError:
        st.error(f"{plain(chosen[:100])} is no decision's id: go back to the log and search for it")
        return
    may_read = current().role in MAY_READ
    explain(decision_id, Control(current()), may_read=may_read)


def _leave() -> None:
    st.query_params.pop(DECISION, None)


# -- the log


def _log(filters: Filters) -> None:
    search, words = _asked()
    before = Place.read(st.query_params.get(BEFORE, ""))
    if words:
        search = _with_words(search, words, filters)
    with reading() as store:
        now = store.row("now")["now"]
        log = read(store, filters, search, before, now)
    _page(log, now, filters, narrowed=search.narrows or any(filters.narrowed.values()))


def _asked() -> tuple[Search, str]:
    """What is searched for beside the filters, and the words that its texts are to hold."""
    left, middle, right, last = st.columns([3, 3, 1, 1], vertical_alignment="bottom")
    with left:
        id_ = _line("Decision or request id", "id", "all of it, or how it begins")
    with middle:
        words = _words()
    with right:
        escalated = _one_of("Escalated", tuple(YES_NO), "escalated")
    with last:
        status = _one_of("Status", STATUSES, "status")
    with st.popover("Judge score and cost"):
        score_from, score_to, cost_from, cost_to = _ranges()
    search = Search(
        id_ or None, YES_NO.get(escalated or ""), status, score_from, score_to, cost_from, cost_to
    )
    return search, words


def _words() -> str:
    if current().role in MAY_READ:
        return _line("Words in the prompt or an answer", "words", "where text is kept")
    st.caption("What people wrote is shown to operators alone, and searched by them alone.")
    return ""


def _line(label: str, key: str, hint: str) -> str:
    said = st.text_input(
        label, key=key, placeholder=hint, bind="query-params", on_change=_from_the_newest
    )
    return (said or "").strip()


def _one_of(label: str, values: Sequence[str], key: str) -> str | None:
    return st.selectbox(
        label, values, index=None, placeholder="all", key=key, bind="query-params",
        on_change=_from_the_newest,
    )  # fmt: skip


def _ranges() -> list[float | None]:
    asked = (
        ("Score from", "score_from"), ("Score to", "score_to"),
        ("Cost from (USD)", "cost_from"), ("Cost to (USD)", "cost_to"),
    )  # fmt: skip
    found: list[float | None] = []
    for (label, key), column in zip(asked, st.columns(len(asked)), strict=True):
        with column:
            value = st.number_input(
                label, value=None, key=key, format="%g", bind="query-params",
                placeholder="any", on_change=_from_the_newest,
            )  # fmt: skip
        found.append(None if value is None else float(value))
    return found


def _from_the_newest() -> None:
    for name in (BEFORE, DECISION):
        st.query_params.pop(name, None)


def _with_words(search: Search, words: str, filters: Filters) -> Search:
    """Those among whose texts the words were found, as far as the control plane looked."""
    if len(words) < 3:
        st.info("Three characters or more make a search of texts.")
        return search
    days = filters.span.total_seconds() / 86_400
    told = Control(current()).get("/v1/texts", containing=words, days=days)
    found = [UUID(each) for each in told["decisions"]]
    if told["looked"]:
        since = datetime.fromisoformat(told["back_to"])
        st.caption(
            f"The newest {told['looked']:,} texts kept in this period were looked at, back to "
            f"{since:%d %b %H:%M} UTC: {_many(len(found))} with these words."
        )
    else:
        st.caption("No text is kept of this period.")
    return replace(search, among=found)


def _page(log: Log, now: datetime, filters: Filters, *, narrowed: bool) -> None:
    rows = log.rows
    if rows.empty:
        st.info(_nothing(log, filters, narrowed=narrowed))
    else:
        event = st.dataframe(
            _shown(rows), hide_index=True, key="log", on_select="rerun",
            selection_mode="single-row", column_config=_COLUMNS,
            alt=f"{len(rows)} decisions, the newest first.",
        )  # fmt: skip
        picked: Sequence[Any] = event["selection"]["rows"]
        if picked:
            st.query_params[DECISION] = str(rows["decision_id"].iloc[picked[0]])
            st.rerun()
        csv(rows, "decisions")
    _turn(log, now, narrowed=narrowed)


_COLUMNS: dict[str, Any] = {
    "at": time_column("time"),
    "cost_usd": st.column_config.NumberColumn("cost (USD)", format="%.7f"),
    "latency_ms": st.column_config.NumberColumn("latency (ms)", format="%.0f"),
    "score": st.column_config.NumberColumn("judge score", format="%.3f"),
    "policy_version": st.column_config.NumberColumn("policy", format="v%d"),
    "final_tier": "answered by",
    "decision_id": "decision",
    "request_id": "request",
}


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns in the order of their use; ids last, for they are long."""
    first = ["at", "final_tier", "escalated", "score", "cost_usd", "latency_ms", "status"]
    return rows[[*first, "policy_version", "segment", "tenant", "decision_id", "request_id"]]


def _nothing(log: Log, filters: Filters, *, narrowed: bool) -> str:
    if not narrowed:
        return f"No query came in the last {filters.period}: choose a longer period."
    if log.older is not None:
        return (
            f"None of the {log.looked:,} queries that were looked at fits: look at older ones, or "
            "ask for less."
        )
    return f"No query of the last {filters.period} fits: ask for less, or choose a longer period."


def _turn(log: Log, now: datetime, *, narrowed: bool) -> None:
    left, middle, right = st.columns([1, 3, 1], vertical_alignment="center")
    with left:
        if BEFORE in st.query_params:
            st.button("Newest", on_click=_from_the_newest, icon=":material/first_page:")
    with middle:
        if log.reached is not None:
            of = f" among the {log.looked:,} that were looked at" if narrowed else ""
            back = age(now - log.reached)
            said = "Choose a row to see why." if len(log.rows) else ""
            st.caption(f"{_many(len(log.rows))}{of}, back to {back} ago. {said}")
        elif len(log.rows):
            st.caption(f"{_many(len(log.rows))} of that id, whatever the period and filters.")
    with right:
        if log.older is not None:
            st.button("Older", on_click=_older, args=(log.older.text,), icon=":material/history:")


def _many(count: int) -> str:
    return f"{count:,} decision" if count == 1 else f"{count:,} decisions"


def _older(place: str) -> None:
    st.query_params[BEFORE] = place


page(
    "Decisions", "Why this answer?", show, "tenant", "segment", "version", "tier", every_s=None
)  # fmt: skip
