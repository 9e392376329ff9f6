"""A proposal: its stage, its evidence so far, and as a canary its health."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.charts import policies as charts
from dashboard.figures import policies as figures
from dashboard.frame import table
from dashboard.units import plain, share

STAGES = {
    "candidate": "data planes validate it; it decides nothing",
    "shadow": "it decides nothing; pairs of labels show whether it is as good",
    "canary": "it decides a small share, for errors, latency and cost",
    "live": "it decides; the policy before is compared, and comes back if it was better",
    "settled": "it took the live policy's place",
    "refused": "it does not come",
    "rolled_back": "the policy before came back",
    "retired": "another policy was published meanwhile",
}


def show_proposal(proposal: Mapping[str, Any] | None) -> None:
    """The proposal that is on its way, or the last one, as the control plane tells it."""
    if proposal is None:
        st.info("Nothing was proposed yet: `penstock policy propose --mode MODE` does.")
        return
    stage = proposal["stage"]
    st.markdown(
        f"**v{proposal['version']}** in the place of v{proposal['against']} is "
        f"**{plain(stage.replace('_', ' '))}**: {STAGES[stage]}."
    )
    st.caption(f"{_path(stage)} Why: {plain(proposal['reason'])}")
    if proposal["canary"]:
        _canary(proposal["canary"])
    _evidence(proposal)


def _path(stage: str) -> str:
    """The stages, with this one in bold, where it is one of them."""
    if stage not in figures.STAGES:
        return ""
    steps = (f"**{each}**" if each == stage else each for each in figures.STAGES)
    return " > ".join(steps).replace(" > ", " \\> ") + "."


def _evidence(proposal: Mapping[str, Any]) -> None:
    wanted = proposal["e_value_wanted"]
    looks = figures.evidence(proposal)
    if looks.empty:
        st.info(f"No pair of labels yet in this stage; a verdict takes an e-value of {wanted:.3g}.")
    else:
        st.altair_chart(
            charts.evidence(looks, wanted),
            alt=f"Lines: e-values by pairs, {proposal['e_value_for']:.3g} for it and "
            f"{proposal['e_value_against']:.3g} against it; {wanted:.3g} is wanted.",
        )
    parts, margin = proposal["parts_on"], proposal["margin"]
    loses = (
        f"may lose {100 * margin:.1f} points"
        if margin >= 0
        else f"has to gain {-100 * margin:.1f} points"
    )
    saves = proposal["saves_usd_per_query"]
    saved = "" if saves is None else f" Expected to save {1e6 * saves:,.1f} USD a million queries."
    st.caption(
        f"e-values: {proposal['e_value_for']:.3g} for it, {proposal['e_value_against']:.3g} "
        f"against it, {wanted:.3g} wanted. {proposal['pairs']:,} pairs among "
        f"{proposal['queries']:,} queries, of which it may serve {share(parts['share'], 1)} "
        f"otherwise ({share(parts['low'], 1)} to {share(parts['high'], 1)}). It {loses} of "
        f"quality.{saved}"
    )


def _canary(canary: Mapping[str, Any]) -> None:
    frame = figures.health(canary)
    table(frame, "canary", "The canary's errors, latency and cost beside the live policy's.")
    seen, wanted = canary["canary"]["queries"], canary["queries_wanted"]
    st.progress(min(seen / wanted, 1.0), f"{seen:,} of {wanted:,} queries as a canary")
    st.caption(
        f"95 % intervals. It is refused if clearly more fail, it is clearly dearer, or slower than "
        f"{canary['slower']:g} times the live policy."
    )
