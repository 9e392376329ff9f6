"""The dashboard's entry, run by Streamlit: its pages, each a file."""

import streamlit as st

st.set_page_config(page_title="Penstock", layout="wide")
# No icon: the browser would fetch one from elsewhere.
pages = [st.Page("pages/overview.py", title="Overview", default=True)]
st.navigation(pages, position="top").run()
