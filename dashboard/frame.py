"""Frame: what every page has around its own content."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.control import ControlUnavailable
from dashboard.filters import Filter, Filters, choose
from dashboard.store import URL_VARIABLE, Store, StoreUnavailable, snapshot
from dashboard.units import plain

REFRESH_S = 5  # what pages cache is named for the page: Streamlit tells pages' functions by name


def page(
    title: str,
    question: str,
    draw: Callable[[Filters], None],
    *offered: Filter,
    every_s: float | None = REFRESH_S,
) -> None:
    """Draw a page: its title, the question that it answers, its filters, and what ``draw`` draws.

    The latter is drawn anew every ``every_s`` seconds, or once. What cannot be read is told in a
    line, in its place.
    """
    heading, choice = st.columns([1, 2], vertical_alignment="bottom")
    with heading:
        st.header(title)
        st.caption(question)
    with choice:
        filters = choose(*offered)

    @st.fragment(run_every=every_s and timedelta(seconds=every_s))
    def below() -> None:
        with told():
            draw(filters)

    below()


@contextmanager
def reading() -> Iterator[Store]:
    """A snapshot of the store; raises ``StoreUnavailable``."""
    with snapshot(os.environ.get(URL_VARIABLE, "")) as store:
        yield store


@contextmanager
def told() -> Iterator[None]:
    """What another part cannot do, as a line on the page."""
    try:
        yield
    except (StoreUnavailable, ControlUnavailable) as error:
        st.error(plain(str(error)), icon=":material/cloud_off:")


def simulated(names: Sequence[str], where: str = "in this period") -> None:
    """A banner that names what is no real thing, where there is any."""
    if names:
        listed = ", ".join(map(plain, names))
        st.warning(f"**SIMULATED** {where}: {listed}", icon=":material/science:")


def table(
    rows: pd.DataFrame, name: str, alt: str, columns: Mapping[str, Any] | None = None
) -> None:
    """A table, and its rows as ``name.csv``; ``columns`` say how some of them are shown."""
    st.dataframe(rows, hide_index=True, alt=alt, column_config=columns)
    csv(rows, name)


def folded(label: str, key: str, draw: Callable[[], None]) -> None:
    """What is drawn once somebody opens it; the address keeps, as ``key``, whether it is open."""
    fold = st.expander(label, key=key, on_change="rerun", bind="query-params")
    if fold.open:
        with fold:
            draw()


def time_column(name: str) -> Any:
    """How a table shows a column of times: in the viewer's zone, where it is known."""
    zone = st.context.timezone
    return st.column_config.DatetimeColumn(
        f"{name} ({zone or 'UTC'})", format="D MMM, HH:mm:ss", timezone=zone
    )


def csv(rows: pd.DataFrame, name: str) -> None:
    """Offers rows as ``name.csv``."""
    st.download_button(
        "CSV", rows.to_csv(index=False), f"{name}.csv", "text/csv", key=f"csv_{name}",
        icon=":material/download:", type="tertiary", on_click="ignore",
    )  # fmt: skip
