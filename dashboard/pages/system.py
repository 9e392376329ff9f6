"""System: are we losing anything?"""

from datetime import datetime

import pandas as pd
import streamlit as st

from dashboard.charts import system as charts
from dashboard.figures.fleet import Plane
from dashboard.figures.system import System, losses, read, schema, troubles
from dashboard.filters import Filters
from dashboard.frame import REFRESH_S, page, reading, table
from dashboard.period import PERIODS
from dashboard.units import age, counted, plain


@st.cache_data(ttl=REFRESH_S - 1, max_entries=len(PERIODS), show_spinner="Reading the store")
def system_figures(period: str) -> System:
    """The figures, read once for all viewers."""
    with reading() as store:
        return read(store, PERIODS[period])


@st.cache_data(ttl=REFRESH_S - 1, max_entries=1, show_spinner=False)
def system_schema() -> str | None:
    """What is wrong with the schema: told first, for another one may lack what the page reads."""
    with reading() as store:
        return schema(store)


def show(filters: Filters) -> None:
    """The page below its title."""
    if wrong := system_schema():
        st.error(
            f"**The database is not of this build.** {plain(wrong)}.", icon=":material/database:"
        )
    system = system_figures(filters.period)
    _verdict(system)
    _headline(system)
    left, right = st.columns(2)
    with left:
        _planes(system)
    with right:
        _spools(system, filters.period)
    left, right = st.columns(2)
    with left:
        _jobs(system)
    with right:
        _tiers(system)
    _partitions(system)


def _verdict(system: System) -> None:
    lost, wrong = losses(system), troubles(system)
    if lost:
        st.error("**Records were lost.** " + _listed(lost), icon=":material/error:")
    if wrong:
        st.warning("**Look at this.** " + _listed(wrong), icon=":material/visibility:")
    if not lost and not wrong:
        st.success("Nothing is being lost, and nothing is late.", icon=":material/check_circle:")


def _listed(said: list[str]) -> str:
    return "; ".join(map(plain, said)) + "."


def _metric(name: str, value: str, said: str, *, wrong: bool = False) -> None:
    st.metric(
        name, value, said, delta_arrow="off", delta_color="red" if wrong else "off", border=True,
        height="stretch",
    )  # fmt: skip


def _headline(system: System) -> None:
    lost, aside = system.total("dropped"), system.total("quarantined")
    waiting, heard = system.total("pending_records"), len(system.planes)
    oldest = max((row["oldest_pending_s"] or 0 for row in system.planes), default=0)
    columns = st.columns(4)
    with columns[0]:
        torn = system.total("damaged_segments")
        _metric("Records dropped", f"{lost:,}", f"and {torn:,} torn segments, since start",
                wrong=lost + torn > 0)  # fmt: skip
    with columns[1]:
        _metric("Records set aside", f"{aside:,}", "refused by the database", wrong=aside > 0)
    with columns[2]:
        _metric("Records in spools", f"{waiting:,}",
                f"oldest {oldest:.0f} s, at {counted(heard, 'plane')}")  # fmt: skip
    with columns[3]:
        last = system.last_arrival
        ago = f"{age(system.now - last)} ago" if last else "never"
        _metric("Last shipment", ago, f"{system.staged:,} records coming in")
    columns = st.columns(4)
    with columns[0]:
        _leader(system)
    with columns[1]:
        failed = sum(system.failed_jobs.values())
        _metric("Failed job runs in a day", f"{failed:,}",
                f"{len(system.jobs)} jobs known", wrong=failed > 0)  # fmt: skip
    with columns[2]:
        known, late = len(system.fleet), len(system.late)
        _metric("Planes in step", f"{known - late} of {known}",
                f"{late} behind or refusing", wrong=late > 0)  # fmt: skip
    with columns[3]:
        orphans = system.orphans["records"]
        _metric("Records not summed yet", f"{system.unsummed:,}",
                f"{orphans:,} wait for a decision")  # fmt: skip


def _leader(system: System) -> None:
    leader = system.leader
    if leader is None:
        _metric("Leader", "none yet", "no job has run", wrong=True)
        return
    name = str(leader["plane"])
    ran = age(system.now - leader["started_at"])
    _metric("Leader", plain(name.split(":", maxsplit=1)[0]), f"last job {ran} ago; {plain(name)}")


def _planes(system: System) -> None:
    st.subheader("Data planes")
    if not system.planes:
        st.info(
            "No data plane told of itself within the last hour: it does so every ten seconds, "
            "started by `penstock up` or `penstock serve`."
        )
    fleet = {each.plane: each for each in system.fleet}
    rows = [
        {
            "plane": row["plane"],
            "heard (s ago)": _ago_s(system, row["at"]),
            "policy": _serves(fleet.get(row["plane"])),
            "waiting": row["pending_records"],
            "oldest (s)": round(row["oldest_pending_s"] or 0),
            "dropped": row["dropped"],
            "set aside": row["quarantined"],
        }
        for row in system.planes
    ]
    if rows:
        table(pd.DataFrame(rows), "data_planes", f"Table of {len(rows)} data planes.")
    for each in system.fleet:
        if each.refused:
            st.text(f"{each.plane} refused {each.wrong}: {each.reason}")


def _serves(plane: Plane | None) -> str:
    if plane is None:
        return "not answered"
    refused = f" {plane.wrong}" if plane.standing == "refused" else ""
    return f"{plane.kept}, {plane.standing}{refused}"


def _spools(system: System, period: str) -> None:
    st.subheader("Spool depth over time")
    if system.spools.empty:
        st.info(f"No data plane told of its spool in the last {period}.")
        return
    most = int(system.spools["records"].max())
    st.altair_chart(
        charts.spools(system.spools), alt=f"Lines: records waiting by data plane, {most:,} at most."
    )
    st.caption(
        "What waits was written down at the data plane, and is not lost when the database is away."
    )


def _jobs(system: System) -> None:
    st.subheader("Jobs of the control plane")
    rows = [
        {
            "job": job["job"],
            "started (s ago)": _ago_s(system, job["started_at"]),
            "status": job["status"],
            "took (ms)": _took_ms(job["started_at"], job["finished_at"]),
            "failed in a day": system.failed_jobs.get(job["job"], 0),
            "said": job["detail"] or "",
        }
        for job in system.jobs
    ]
    if rows:
        table(pd.DataFrame(rows), "jobs", f"Table of {len(rows)} jobs.")
    else:
        st.info("No job has run yet: the control plane runs them.")
    told = system.webhook
    st.caption(
        f"Alerts: {told['sent']:,} sent, {told['failures']:,} attempts failed."
        if told
        else "Alerts: no webhook has been told anything."
    )


def _ago_s(system: System, at: datetime) -> int:
    return max(round((system.now - at).total_seconds()), 0)


def _took_ms(started: datetime, finished: datetime | None) -> float | None:
    return None if finished is None else round(1000 * (finished - started).total_seconds())


def _tiers(system: System) -> None:
    st.subheader("Tiers and breakers")
    rows = [
        {
            "plane": row["plane"],
            "tier": row["tier"],
            "state": row["unavailable"] or "up",
            "failures in a row": row["failures_in_a_row"],
            "restarts": row["restarts"],
        }
        for row in system.tiers
    ]
    if rows:
        table(pd.DataFrame(rows), "tiers", f"Table of {len(rows)} tiers as data planes see them.")
    else:
        st.info("No data plane told of its tiers within the last hour.")


def _partitions(system: System) -> None:
    with st.expander(f"Schema revision {system.revision}, and partitions by table"):
        rows = [
            {
                "table": row["table"],
                "first day": row["first"],
                "last day": row["last"],
                "rows in none of a day (estimate)": row["stray"],
            }
            for row in system.partitions
        ]
        table(pd.DataFrame(rows), "partitions", f"Table of {len(rows)} partitioned tables.")


page("System", "Are we losing anything?", show)
