"""An operator's word: offered as a button, asked about in a dialog with a reason, and then done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import streamlit as st

from dashboard.control import Control, ControlUnavailable
from dashboard.frame import told
from dashboard.units import plain

SAID = "action_said"  # what the last one led to
ASKING = "action_asking"  # the one that the dialog asks about
PINNED = "and pin it: the learner moves nothing from then on"


@dataclass(frozen=True, slots=True)
class Action:
    """A word of an operator: what it is called, what it means, how the control plane is told."""

    name: str
    means: str
    path: str
    done: str
    body: Mapping[str, Any] = field(default_factory=dict)
    difference: tuple[int, int] | None = None
    may_pin: bool = False


def say_what_was_done() -> None:
    """What the last action led to, until the next one."""
    if said := st.session_state.get(SAID):
        st.success(plain(said), icon=":material/check:")


def offer(
    action: Action, icon: str | None = None, kind: Literal["primary", "secondary"] = "secondary"
) -> None:
    """A button that asks before anything is done."""
    st.button(
        action.name, key=f"act_{action.path}", icon=icon, type=kind, on_click=_open, args=(action,)
    )


def _open(action: Action) -> None:
    st.session_state.pop(SAID, None)
    st.session_state[ASKING] = action


def _close() -> None:
    st.session_state.pop(ASKING, None)


def ask(
    control: Control, difference: Callable[[int, int], None], after: Callable[[], None]
) -> None:
    """The dialog about the action that was chosen, if one was.

    ``difference`` draws what changes from one version to another, ``after`` follows the deed.
    """
    action = st.session_state.get(ASKING)
    if action is not None:
        _dialog(action, control, difference, after)


@st.dialog("Are you sure?", on_dismiss=_close)
def _dialog(
    action: Action,
    control: Control,
    difference: Callable[[int, int], None],
    after: Callable[[], None],
) -> None:
    """The consequence, why, and only then the deed."""
    st.markdown(f"**{plain(action.name)}.** {plain(action.means)}")
    if action.difference is not None:
        with told():
            difference(*action.difference)
    with st.form("why", border=False):
        reason = st.text_area("Why? It is kept, for all to read.", max_chars=500, key="reason")
        pin = action.may_pin and st.checkbox(PINNED, key="pin")
        sure = st.form_submit_button(action.name, type="primary")
    if sure and _done(action, (reason or "").strip(), control, pin=pin):
        after()
        st.rerun()


def _done(action: Action, reason: str, control: Control, *, pin: bool) -> bool:
    """Whether the control plane did it; what it says against it is shown."""
    if not reason:
        st.error("Say why: the reason is kept with what you do.")
        return False
    path = f"{action.path}?pin=true" if pin else action.path
    try:
        control.post(path, {**action.body, "reason": reason})
    except ControlUnavailable as refusal:
        st.error(plain(f"Nothing was changed: {refusal}"))
        return False
    pinned = ", pinned" if pin else ""
    st.session_state[SAID] = f"Done: {action.done}{pinned}. Data planes follow within seconds."
    _close()
    return True
