"""The dashboard, run by Streamlit: its pages, each a file, as far as the role may see them."""

import streamlit as st

from dashboard.person import Role, current

# No icons: the browser would fetch them from elsewhere.
READERS: tuple[Role, ...] = ("viewer", "operator")
PAGES: dict[str, tuple[str, tuple[Role, ...]]] = {
    "overview": ("Overview", READERS),
    "quality": ("Quality and cost", READERS),
    "judge": ("Judge accuracy", READERS),
    "cost": ("Cost drift", READERS),
}

st.set_page_config(page_title="Penstock", layout="wide")
role = current().role
pages = [
    st.Page(f"pages/{name}.py", title=title, url_path=name, default=name == "overview")
    for name, (title, roles) in PAGES.items()
    if role in roles
]
st.navigation(pages, position="top").run()
