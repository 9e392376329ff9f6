"""What a benchmark reports: numbers with their intervals, and where they are written."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from controlplane.stats import wilson


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number over runs, with its 95 % interval (normal, over seeds)."""

    value: float
    unit: str
    better: str
    lower: float
    upper: float
    n: int

    @classmethod
    def mean(cls, values: Sequence[float], unit: str, better: str = "lower") -> "Figure":
        """Mean over seeds."""
        middle, wide = float(np.mean(values)), half_width(values)
        return cls(middle, unit, better, middle - wide, middle + wide, len(values))

    @classmethod
    def median(cls, labels: Sequence[int]) -> "Figure":
        """With the order statistics that hold it with 95 % confidence."""
        ranked, wide = sorted(labels), 1.96 * len(labels) ** 0.5 / 2
        low = max(round(len(ranked) / 2 - wide), 0)
        high = min(round(len(ranked) / 2 + wide), len(ranked) - 1)
        middle = float(np.median(ranked))
        return cls(middle, "labels", "lower", ranked[low], ranked[high], len(ranked))

    @classmethod
    def share(cls, hits: Sequence[bool], better: str = "lower") -> "Figure":
        """Of the runs, with Wilson's interval."""
        found = wilson(sum(hits) / len(hits), len(hits))
        return cls(found.estimate, "fraction", better, found.low, found.high, len(hits))

    @classmethod
    def known(cls, value: float) -> "Figure":
        """A fraction that was not measured but set."""
        return cls(value, "fraction", "none", value, value, 1)


def half_width(values: Sequence[float]) -> float:
    """Of the 95 % interval of a mean; 0 for a single value."""
    return 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0


def plain(figure: Figure) -> dict[str, Any]:
    """As JSON values."""
    return asdict(figure)


def table(named: Mapping[str, Figure]) -> str:
    """Figures as Markdown."""
    lines = ["| figure | value | 95 % interval | unit | n |", "|---|---|---|---|---|"]
    for name, each in named.items():
        lines.append(
            f"| {name} | {each.value:.4g} | {each.lower:.4g} .. {each.upper:.4g} "
            f"| {each.unit} | {each.n} |"
        )
    return "\n".join(lines)


def write(written: dict[str, Any], where: str | None) -> None:
    """As JSON to the file named, to standard output where that is -, or nowhere."""
    text = json.dumps(written, indent=2) + "\n"
    if where == "-":
        sys.stdout.write(text)
    elif where:
        Path(where).write_text(text, "utf-8")
