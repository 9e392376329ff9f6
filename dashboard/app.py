"""The dashboard, run by Streamlit: its pages, each a file, as far as the role may see them."""

import os

import streamlit as st

from dashboard.door import named, turn_away
from dashboard.login import Login
from dashboard.person import Stranger, current
from dashboard.roles import Role

# No icons: the browser would fetch them from elsewhere.
READERS: tuple[Role, ...] = ("viewer", "operator")
LABELLERS: tuple[Role, ...] = ("reviewer", "operator")
PAGES: dict[str, tuple[str, tuple[Role, ...]]] = {
    "overview": ("Overview", READERS),
    "quality": ("Quality and cost", READERS),
    "judge": ("Judge accuracy", READERS),
    "cost": ("Cost drift", READERS),
    "decisions": ("Decisions", READERS),
    "labelling": ("Labelling", LABELLERS),
    "policies": ("Policies", READERS),
    "local_tier": ("Local tier", READERS),
    "system": ("System", READERS),
}

st.set_page_config(page_title="Penstock", layout="wide", initial_sidebar_state="collapsed")
try:
    person = current()
except Stranger as stranger:
    turn_away(stranger)
    st.stop()
login = Login.of(os.environ).kind
if login != "none":
    named(person, leaves=login == "oidc")
pages = [
    st.Page(f"pages/{name}.py", title=title, url_path=name, default=name == "overview")
    for name, (title, roles) in PAGES.items()
    if person.role in roles
]
st.navigation(pages, position="top").run()
