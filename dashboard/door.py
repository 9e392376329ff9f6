"""The door: what those see who may see nothing, and how those leave who logged in."""

import streamlit as st

from dashboard.person import Person, Stranger
from dashboard.units import plain


def turn_away(stranger: Stranger) -> None:
    """Say why there is nothing to see, and how to come in."""
    st.header("Penstock")
    if stranger.name:
        st.error(
            f"{plain(stranger.name)} has no role here: ask an operator to add it to "
            "dashboard.roles in penstock.yaml.",
            icon=":material/lock:",
        )
    elif stranger.login.kind == "oidc":
        st.info("Log in to see this dashboard.", icon=":material/lock:")
    else:
        st.error(
            "Nobody is logged in: come through the proxy that logs people in.",
            icon=":material/lock:",
        )
    if stranger.login.kind == "oidc":
        _by_provider(stranger)


def _by_provider(stranger: Stranger) -> None:
    if not st.user.is_logged_in:
        st.button("Log in", on_click=st.login, type="primary")
        return
    if not stranger.name:
        st.error("Your identity provider does not say that your e-mail address is verified.")
    st.button("Log out", on_click=st.logout)


def named(person: Person, *, leaves: bool) -> None:
    """Say who looks, at the side; and let them log out, where we logged them in."""
    with st.sidebar:
        st.caption(f"{plain(person.name)}, {person.role}")
        if leaves:
            st.button("Log out", on_click=st.logout)
