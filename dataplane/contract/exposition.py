"""Prometheus's text format, version 0.0.4, as both planes write it."""

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

MEDIA_TYPE = "text/plain; version=0.0.4"


def family(name: str, kind: Kind, help_: str, samples: Iterable[str]) -> Iterator[str]:
    """The lines of one metric."""
    yield f"# HELP {name} {help_}"
    yield f"# TYPE {name} {kind}"
    yield from samples


def sample(name: str, labels: Labels, value: float) -> str:
    """One line.

    >>> sample("penstock_events_total", (("kind", "alarm"),), 2)
    'penstock_events_total{kind="alarm"} 2'
    """
    return f"{name}{_braced(labels)} {value!r}"


def _braced(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
