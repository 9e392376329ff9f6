"""Labelling: is this answer right? By keyboard, blind, one after the other."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import streamlit as st

from dashboard.control import Control, ControlUnavailable
from dashboard.frame import told
from dashboard.person import current
from dashboard.sitting import GLANCE_S, HELD_S, Query, Sitting, Verdict
from dashboard.units import plain, share

KEYS: tuple[tuple[str, str, Verdict], ...] = (
    ("Good", "G", "good"), ("Bad", "B", "bad"), ("Unsure", "U", "unsure"),
)  # fmt: skip
AGREEMENT_S = 60.0


def _sitting(name: str) -> Sitting:
    """This session's, for as long as the page is open."""
    if "sitting" not in st.session_state:
        st.session_state["sitting"] = Sitting(name)
    sitting = st.session_state["sitting"]
    assert isinstance(sitting, Sitting)
    return sitting


@st.fragment(run_every=timedelta(seconds=HELD_S))
def _desk() -> None:
    """The answer to grade first; what that makes to send and to fetch comes after it was drawn."""
    person = current()
    sitting, control = _sitting(person.name), Control(person)
    sitting.prune()
    if empty := sitting.query is None:
        with told():
            sitting.settle(control)
    _keys(sitting)
    _progress(sitting)
    _shown(sitting)
    for note in sitting.notes:
        st.warning(plain(note))
    if not empty:
        with told():
            sitting.settle(control)


def _keys(sitting: Sitting) -> None:
    number = sitting.number
    with st.container(horizontal=True, gap="xsmall"):
        for words, key, verdict in KEYS:
            st.button(
                words, key=f"{verdict}_{number}", shortcut=key, disabled=sitting.query is None,
                on_click=sitting.grade, args=(number, verdict),
            )  # fmt: skip
        st.button(
            "Skip", key=f"skip_{number}", shortcut="S", disabled=sitting.query is None,
            on_click=sitting.skip, args=(number,),
        )  # fmt: skip
        st.button(
            "Undo", key=f"undo_{number}", shortcut="Z", disabled=not sitting.undoable,
            on_click=sitting.undo, args=(number,),
        )  # fmt: skip


def _progress(sitting: Sitting) -> None:
    left = len(sitting.ahead) + (sitting.waiting or 0)
    pace = f", {sitting.pace_s:.1f} s each (median)" if sitting.pace_s is not None else ""
    queries = "query is" if left == 1 else "queries are"
    st.progress(
        sitting.graded / max(sitting.graded + left, 1),
        f"{sitting.graded:,} graded in this sitting{pace}; {left:,} {queries} left",
    )


def _shown(sitting: Sitting) -> None:
    query, answer = sitting.query, sitting.answer
    if query is None or answer is None:
        st.info(
            "No answer waits for your label. Queries are drawn as they are served, and come here "
            "by themselves."
        )
        return
    asked, given = st.columns(2)
    with asked, st.container(border=True, key="query"):
        _prompt(query)
    with given, st.container(border=True, key="answer"):
        which = len(sitting.verdicts) + 1
        of = f" {which} of {len(query.answers)}" if len(query.answers) > 1 else ""
        st.caption(f"Answer{of}")
        st.text(answer.text)
    sitting.drawn()


def _prompt(query: Query) -> None:
    for message in query.prompt:
        st.caption(plain(str(message.get("role", "message"))).capitalize())
        st.text(_words(message))


def _words(message: Mapping[str, Any]) -> str:
    """What a message says; parts that are no text by their kind."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or f"[{part.get('type', 'part')}]" for part in content)


@st.cache_data(ttl=AGREEMENT_S, max_entries=1, show_spinner=False)
def _agreement() -> str:
    """How far two people agree, as a reviewer may know it."""
    try:
        told = Control(current()).get("/v1/labels/agreement")
    except ControlUnavailable:
        return "Agreement cannot be read just now."
    pairs = f"{told['pairs']:,} answers were graded by two people"
    if told["alike"] is None:
        return f"{pairs}; from 10 on their agreement is told here."
    kappa = told["kappa"]
    beyond = (
        f", Cohen's kappa {kappa['estimate']:.2f} [{kappa['low']:.2f}, {kappa['high']:.2f}]"
        if kappa
        else ""
    )
    return f"{pairs}, alike in {share(told['alike'])}{beyond}."


st.header("Labelling")
st.caption("Is the answer right? Which model gave it, its score and its cost are not told to you.")
_desk()
st.caption(
    "G good, B bad, U unsure, S skip: leave it to others, Z undo. What you graded last is sent "
    f"when you grade the next, or after {HELD_S:g} s: until then Z takes it back. Once sent, a "
    "label stands. What was not sent when you leave this page is not kept, and comes again. A key "
    f"within {GLANCE_S:g} s of its answer is taken for a slip, and does nothing."
)
st.caption(_agreement())
