"""Filters: which part of the traffic a page shows, kept in its address."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import streamlit as st

from dashboard.period import PERIODS
from dashboard.store import URL_VARIABLE, StoreUnavailable, snapshot

Filter: TypeAlias = Literal["tenant", "segment", "version", "tier"]

OFFERED = 50  # values of one filter; another may be typed
NAMES: dict[Filter, str] = {
    "tenant": "Tenant", "segment": "Segment", "version": "Policy version", "tier": "Tier",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filters:
    """What was chosen; None is everything."""

    period: str
    tenant: str | None = None
    segment: str | None = None
    version: int | None = None
    tier: str | None = None

    @property
    def span(self) -> timedelta:
        """The length of the period."""
        return PERIODS[self.period]

    def since(self, now: datetime) -> datetime:
        """When the period began."""
        return now - self.span

    @property
    def narrowed(self) -> dict[str, Any]:
        """Query parameters by filter: ``%(tenant)s::text IS NULL OR tenant = %(tenant)s``."""
        return {name: getattr(self, name) for name in NAMES}


def choose(*offered: Filter) -> Filters:
    """Draw the period and these filters, and say what is chosen."""
    values = _values() if offered else {}
    columns = st.columns([3, *[1] * len(offered)], vertical_alignment="bottom")
    with columns[0]:
        period = st.segmented_control(
            "Period: the last", list(PERIODS), default="day", required=True, key="period",
            bind="query-params",
        )  # fmt: skip
    chosen = {}
    for name, column in zip(offered, columns[1:], strict=True):
        with column:
            chosen[name] = _one(name, values.get(name, ()))
    version = chosen.pop("version", None) or ""
    return Filters(period or "day", version=int(version) if version.isdigit() else None, **chosen)


def _one(name: Filter, values: Sequence[str]) -> str | None:
    return st.selectbox(
        NAMES[name], values, index=None, placeholder="all", key=name, bind="query-params",
        accept_new_options=True,
    )  # fmt: skip


@st.cache_data(ttl=10, max_entries=1, show_spinner=False)
def _values() -> Mapping[str, Sequence[str]]:
    """By filter; none where the store cannot be read, which the page itself will say."""
    found: dict[str, list[str]] = defaultdict(list)
    try:
        with snapshot(os.environ.get(URL_VARIABLE, "")) as store:
            for row in store.rows("filters"):
                if len(found[row["filter"]]) < OFFERED:
                    found[row["filter"]].append(row["value"])
    except StoreUnavailable:
        return {}
    return dict(found)
