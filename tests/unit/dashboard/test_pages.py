"""What holds of all pages, as they are written."""

import ast
from collections import Counter
from pathlib import Path

import dashboard

PAGES = sorted(Path(str(dashboard.__file__)).with_name("pages").glob("*.py"))


def cached(page: Path) -> list[str]:
    tree = ast.parse(page.read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [
        each.name
        for each in functions
        if any("cache_data" in ast.unparse(mark) for mark in each.decorator_list)
    ]


def test_no_page_is_given_what_another_has_cached() -> None:
    """Streamlit runs each page as ``__main__``, and tells its functions by name and text."""
    names = Counter(name for page in PAGES for name in cached(page))
    assert len(names) > 5
    assert set(names.values()) == {1}
