"""Local tier: is the local box keeping up?"""

from typing import Literal, TypeAlias

import streamlit as st

from dashboard.charts import local_tier as charts
from dashboard.charts.local_tier import GIB, MIB
from dashboard.figures.local_tier import LocalTier, Verdict, read
from dashboard.filters import Filters
from dashboard.frame import REFRESH_S, page, reading
from dashboard.period import PERIODS
from dashboard.units import UNKNOWN, counted, latency, plain, share

Colour: TypeAlias = Literal["green", "red", "orange", "gray"]
WORDS: dict[Verdict, tuple[str, Colour]] = {
    "idle": ("nothing asked of it", "gray"),
    "keeps up": ("it keeps up", "green"),
    "queues": ("queries wait for a slot", "orange"),
    "fails": ("more than 2 % of calls failed", "red"),
    "away": ("it is not asked", "red"),
}


@st.cache_data(ttl=REFRESH_S - 1, max_entries=len(PERIODS), show_spinner="Reading the store")
def local_tier_figures(period: str) -> LocalTier | None:
    """The figures, read once for all viewers."""
    with reading() as store:
        return read(store, PERIODS[period])


def show(filters: Filters) -> None:
    """The page below its title."""
    box = local_tier_figures(filters.period)
    if box is None:
        st.info("No policy was published yet: start the control plane by `penstock up`.")
        return
    _headline(box)
    if not box.asked:
        st.info(f"Tier {plain(box.tier)} was not called in the last {filters.period}.")
    else:
        _pace(box)
    _engines(box, filters.period)


def _metric(name: str, value: str, said: str, colour: Colour | Literal["off"] = "off") -> None:
    st.metric(
        name, value, said, delta_arrow="off", delta_color=colour, border=True, height="stretch"
    )


def _headline(box: LocalTier) -> None:
    columns = st.columns(5)
    said, colour = WORDS[box.verdict]
    with columns[0]:
        _metric("Tier", plain(box.tier), said, colour)
    with columns[1]:
        _metric("First token", latency(box.pace["ttft_ms"]),
                f"median; p95 {latency(box.pace['ttft_p95_ms'])}")  # fmt: skip
    with columns[2]:
        _metric("Tokens a second", _speed(box.pace["tokens_per_s"]),
                f"median; slowest 5 % below {_speed(box.pace['tokens_per_s_p5'])}")  # fmt: skip
    with columns[3]:
        busy = sum(row["slots_busy"] or 0 for row in box.owned)
        slots = sum(row["slots"] for row in box.owned)
        _metric("Queue", f"{box.waiting} waiting" if box.owned else UNKNOWN,
                f"{busy} of {slots} slots busy")  # fmt: skip
    with columns[4]:
        memory = sum(row["memory_bytes"] or 0 for row in box.owned)
        _metric("Memory", f"{memory / MIB:,.0f} MiB" if box.owned else UNKNOWN,
                f"RAM of {counted(len(box.owned), 'engine')}{_gpu(box)}")  # fmt: skip


def _gpu(box: LocalTier) -> str:
    if box.gpu is None:
        return ""
    used, whole = box.gpu
    return f"; fullest GPU {used / GIB:.1f} of {whole / GIB:.1f} GiB"


def _speed(tokens_per_s: float | None) -> str:
    return UNKNOWN if tokens_per_s is None else f"{tokens_per_s:,.0f}"


def _pace(box: LocalTier) -> None:
    if box.summed:
        st.caption("Of so many calls, sums by ten minutes and bins 10 % wide by the hour are read.")
    left, right = st.columns(2)
    pace = box.pace
    with left:
        st.subheader("Time to the first token")
        st.altair_chart(
            charts.first_token(box.pace_course),
            alt=f"Lines: median {latency(pace['ttft_ms'])}, p95 {latency(pace['ttft_p95_ms'])}.",
        )
        st.caption("From the call until the first token, the wait for a slot included.")
    with right:
        st.subheader("Tokens a second")
        st.altair_chart(
            charts.speed(box.pace_course),
            alt=f"Lines: median {_speed(pace['tokens_per_s'])} tokens a second.",
        )
        st.caption("Of one answer, after its first token.")
    st.subheader("Calls")
    st.altair_chart(
        charts.calls(box.calls, box.bucket.total_seconds()),
        alt=f"Areas: calls a minute, {box.failed:,} of {box.asked:,} failed.",
    )
    tokens = int(box.calls["completion_tokens"].sum())
    st.caption(
        f"{box.asked:,} calls, served and shadows, {share(box.failed / box.asked, 1)} failed; "
        f"{tokens:,} tokens written."
    )


def _engines(box: LocalTier, period: str) -> None:
    st.subheader("Queue and memory")
    course = box.engine_course
    if course.empty:
        st.info(
            f"No data plane told of an engine of its own in the last {period}. What a tier behind "
            "an address of yours holds in memory, its own server knows."
        )
        return
    left, right = st.columns(2)
    most = int(course["waiting"].max())
    with left:
        st.altair_chart(
            charts.engines(course, "waiting", "waiting for a slot (most)"),
            alt=f"Lines: generations waiting, {most} at most.",
        )
    with right:
        memory = course["memory_bytes"].max() / MIB
        st.altair_chart(
            charts.engines(course, "memory_mib", "memory (MiB)"),
            alt=f"Lines: memory of each engine, {memory:,.0f} MiB at most.",
        )
    busy = course["busy_share"].mean()
    st.caption(
        f"Slots were busy {share(busy)} of the time, as told every ten seconds. Memory is RAM of "
        "the engine's process; where it has a GPU, how full that is, by whomever, stands above."
    )


page("Local tier", "Is the local box keeping up?", show)
