"""The control plane's SQL, by name, from one commented file."""

import re
from collections.abc import Iterator
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def parse(source: str) -> dict[str, str]:
    """Statements by the name in the ``-- name:`` line above each; a name twice is an error.

    >>> parse("-- name: one\\n-- why\\nSELECT 1;\\n")
    {'one': 'SELECT 1'}
    """
    named: dict[str, str] = {}
    for name, statement in _statements(source):
        if name in named:
            raise ValueError(f"two statements are named {name}")
        named[name] = statement
    return named


def _statements(source: str) -> Iterator[tuple[str, str]]:
    parts = _NAME.split(source)[1:]
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = (line for line in body.splitlines() if not line.lstrip().startswith("--"))
        yield name, "\n".join(lines).strip().rstrip(";")


SQL: dict[str, str] = parse((files(__package__) / "queries.sql").read_text("utf-8"))
