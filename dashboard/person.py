"""Person: who looks at the dashboard, and in which role."""

import os
from dataclasses import dataclass

import streamlit as st

from dashboard.login import Login
from dashboard.roles import KEY_VARIABLES, Role


@dataclass(frozen=True, slots=True)
class Person:
    """A name, and a role: a viewer reads, a reviewer labels, an operator does both and decides."""

    name: str
    role: Role

    @property
    def key(self) -> str:
        """The API key of the role at the control plane; empty where none was given."""
        return os.environ.get(KEY_VARIABLES[self.role], "")


class Stranger(Exception):  # noqa: N818 - reads as who it is
    """Somebody who may see nothing: not logged in, where ``name`` is empty, or without a role."""

    def __init__(self, login: Login, name: str = "") -> None:
        super().__init__(name)
        self.login = login
        self.name = name


def current() -> Person:
    """Who looks now; raises ``Stranger``. Without a login, the operator."""
    login = Login.of(os.environ)
    if login.kind == "none":
        return Person("operator", "operator")
    name = _proxied(login) if login.kind == "proxy" else _logged_in()
    role = login.role(name)
    if role is None:
        raise Stranger(login, name)
    return Person(name, role)


def _proxied(login: Login) -> str:
    """Whom the proxy names, if it is the proxy that speaks, and says it once."""
    if not login.trusts(st.context.ip_address):
        return ""
    said = st.context.headers.get_all(login.header)
    return said[0].strip().lower() if len(said) == 1 else ""


def _logged_in() -> str:
    """The e-mail address that the identity provider knows to be theirs."""
    user = st.user.to_dict()
    if user.get("is_logged_in") is not True or user.get("email_verified") is not True:
        return ""
    return str(user.get("email") or "").strip().lower()
