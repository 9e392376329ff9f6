"""Policies: what is live, and what is coming?"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import streamlit as st

from dashboard.charts import policies as charts
from dashboard.control import Control, ControlUnavailable
from dashboard.figures import policies as figures
from dashboard.figures.policies import Figures, Publication
from dashboard.filters import Filters
from dashboard.frame import REFRESH_S, page, reading, table, time_column, told
from dashboard.parts.action import Action, ask, offer, say_what_was_done
from dashboard.parts.proposal import show_proposal
from dashboard.person import current
from dashboard.units import age, plain

MAY_DECIDE = ("operator",)


@st.cache_data(ttl=REFRESH_S - 1, max_entries=1, show_spinner="Reading the store")
def policies_figures() -> Figures:
    """What the store tells, read once for all viewers."""
    with reading() as store:
        return figures.read(store)


@st.cache_data(ttl=2 * REFRESH_S, max_entries=1, show_spinner=False)
def proposed() -> Mapping[str, Any] | None:
    """The proposal that is on its way, or the last one."""
    found: Mapping[str, Any] | None = Control(current()).get("/v1/proposal")["proposal"]
    return found


@st.cache_data(ttl=120, max_entries=32, show_spinner="Comparing policies")
def compared(before: int, after: int) -> Mapping[str, Any]:
    """Their difference, and what it is expected to bring."""
    return Control(current()).get(f"/v1/policies/{before}/diff/{after}")


def show(filters: Filters) -> None:
    """The page below its title."""
    say_what_was_done()
    _again(_headline)
    if current().role in MAY_DECIDE:
        with told():
            _actions()
    _again(partial(_details, filters=filters))


def _again(draw: Callable[[Figures], None]) -> None:
    """Drawn anew every few seconds, apart from what a dialog may stand before."""

    @st.fragment(run_every=timedelta(seconds=REFRESH_S))
    def part() -> None:
        with told():
            draw(policies_figures())

    part()


# -- at a glance


def _headline(found: Figures) -> None:
    columns = st.columns(4)
    cards = (_live(found), _learner(found), _coming(), _planes(found))
    for column, (label, value, said, colour) in zip(columns, cards, strict=True):
        column.metric(
            label, plain(value), plain(said), delta_arrow="off", delta_color=colour,  # type: ignore[arg-type]  # one of Streamlit's words
            border=True, height="stretch",
        )  # fmt: skip


Card = tuple[str, str, str, str]


def _live(found: Figures) -> Card:
    live = found.live
    if live is None:
        return "Live policy", "none", "nothing was published yet", "off"
    old = age(found.now - live.published_at)
    return "Live policy", f"v{live.version}", f"{old} old, by {live.author}", "off"


def _learner(found: Figures) -> Card:
    since = found.frozen_since
    if since is None:
        return "Learner", "free", "it may move the policy", "off"
    return "Learner", "frozen", f"for {age(found.now - since)}", "orange"


def _coming() -> Card:
    try:
        proposal = proposed()
    except ControlUnavailable:
        return "Proposal", "not known", "the control plane does not tell", "orange"
    if proposal is None:
        return "Proposal", "none", "nothing was proposed yet", "off"
    stage = proposal["stage"]
    what = "pairs" if proposal["promised"] is None else "labels"
    pairs = f", {proposal['pairs']:,} {what}" if stage in ("shadow", "live") else ""
    return "Proposal", f"v{proposal['version']}", f"{stage.replace('_', ' ')}{pairs}", "off"


def _planes(found: Figures) -> Card:
    planes = found.planes
    if not planes:
        return "Data planes", "none", "none answered yet", "orange"
    many = Counter(each.standing for each in planes)
    words = {"refused": "refuse it", "behind": "behind", "awaited": "awaited"}
    said = [f"{many[standing]} {word}" for standing, word in words.items() if many[standing]]
    colour = "red" if many["refused"] else "orange" if many["behind"] else "green"
    fine = sum(not each.late for each in planes)
    return "Data planes", f"{fine} of {len(planes)}", ", ".join(said) or "all serve it", colour


# -- what an operator may do


def _actions() -> None:
    found = policies_figures()
    live = found.live
    if live is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _go_back(found, live)
        for action in _of_proposal():
            offer(action)
        offer(_freeze(frozen=found.frozen_since is None), icon=":material/ac_unit:")
    ask(Control(current()), _difference, _anew)


def _anew() -> None:
    policies_figures.clear()
    proposed.clear()


def _go_back(found: Figures, live: Publication) -> None:
    versions = sorted({each.version for each in found.publications} - {live.version}, reverse=True)
    if not versions:
        return
    start = versions.index(found.before) if found.before in versions else 0
    version = st.selectbox(
        "Another version", versions, index=start, format_func=lambda each: f"v{each}",
        key="version_back", width=160,
    )  # fmt: skip
    if version is None:
        return
    back = Action(
        f"Roll back to v{version}",
        f"v{version} decides all conversations at once, in the place of v{live.version}; a "
        "proposal that is on its way ends.",
        f"/v1/policies/{version}/restore",
        f"v{version} is in force",
        difference=(live.version, version),
        may_pin=True,
    )
    offer(back, icon=":material/history:", kind="primary")


def _of_proposal() -> Sequence[Action]:
    try:
        proposal = proposed()
    except ControlUnavailable:
        return []
    if proposal is None:
        return []
    means = {
        "live": "It decides at once, without waiting for its evidence; it is watched all the same.",
        "refused": "It is taken back; the live policy stays.",
        "rolled_back": "The policy before it decides again, at once.",
    }
    return [
        Action(
            f"{name} v{proposal['version']}",
            means[stage],
            f"/v1/proposal/{proposal['version']}/{stage}",
            f"v{proposal['version']} is {stage.replace('_', ' ')}",
            difference=_direction(proposal, stage),
        )
        for stage, name in figures.moves(proposal["stage"])
    ]


def _direction(proposal: Mapping[str, Any], stage: str) -> tuple[int, int] | None:
    version, against = int(proposal["version"]), int(proposal["against"])
    return {"live": (against, version), "rolled_back": (version, against)}.get(stage)


def _freeze(*, frozen: bool) -> Action:
    name = "Freeze the learner" if frozen else "Unfreeze the learner"
    means = "It moves nothing" if frozen else "It moves the policy again"
    done = "the learner moves nothing now" if frozen else "the learner moves the policy again"
    return Action(
        name, f"{means}; it goes on learning either way.", "/v1/freeze", done, {"frozen": frozen}
    )


# -- in detail


def _details(found: Figures, filters: Filters) -> None:
    if found.live is None:
        st.info("No policy was published yet: start the control plane by `penstock up`.")
        return
    left, right = st.columns(2)
    with left:
        _changed(found, found.live)
    with right:
        st.subheader("The proposal")
        with told():
            show_proposal(proposed())
    _course(found, filters)
    left, right = st.columns(2)
    with left:
        _who_serves(found)
    with right:
        _events(found)


def _changed(found: Figures, live: Publication) -> None:
    st.subheader("What changed with the live policy")
    if found.before is None:
        st.info(f"v{live.version} is the first one: there is nothing to compare it with.")
        st.caption(f"Why: {plain(live.policy_reason)}")
        return
    with told():
        _difference(found.before, live.version)
    if live.beside:
        st.caption(f"Beside it: {plain(live.beside)}.")


def _difference(before: int, after: int) -> None:
    found = compared(before, after)
    lines = figures.change(found) or ["Both decide alike."]
    st.markdown(f"From v{before} to v{after}:")
    st.markdown("\n".join(f"- {plain(line)}" for line in lines))
    st.caption(f"v{after} was written because: {plain(found['reason'])}")


def _course(found: Figures, filters: Filters) -> None:
    st.subheader("Versions over time")
    since = filters.since(found.now)
    published = figures.within(found.publications, since)
    course = figures.course(published, since, found.now)
    st.altair_chart(
        charts.course(course),
        alt=f"Steps: which version led when, v{found.publications[0].version} at last.",
    )
    table(
        figures.listed(published), "publications",
        f"{len(published)} publications, the newest first.",
        {"published": time_column("published")},
    )  # fmt: skip
    if len(published) == figures.PUBLICATIONS:
        st.caption(f"The last {figures.PUBLICATIONS} publications; older ones are not shown.")


def _who_serves(found: Figures) -> None:
    st.subheader("Data planes")
    if not found.planes:
        st.info("No data plane has answered a publication yet: start one by `penstock up`.")
        return
    table(
        figures.answers(found.planes),
        "data_planes",
        "What each data plane serves, or why it refused.",
        {"answered": time_column("answered")},
    )
    st.caption(
        "What each said to the last publication it answered. One that refuses goes on with what it "
        "served before; *behind*: publications since then. One that is *awaited* has a few seconds "
        "left to answer the newest one."
    )


def _events(found: Figures) -> None:
    st.subheader("Steps and words")
    if found.events.empty:
        st.info("No proposal moved and no operator said anything yet.")
        return
    table(
        found.events,
        "policy_events",
        "Steps of proposals and operators' words.",
        {"at": time_column("time")},
    )


page("Policies", "What is live, and what is coming?", show, every_s=None)
