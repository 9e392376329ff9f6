"""The funnel of labels: what became of the draws, and how far two people agree on an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from controlplane.connection import Connection
from controlplane.sql import SQL
from controlplane.stats import Interval, cohens_kappa, wilson

WINDOWS: dict[str, timedelta | None] = {
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "all": None,
}
FEWEST = 10


@dataclass(frozen=True, slots=True)
class Stage:
    """The draws of a window and segment: ``drawn`` is waiting + leased + labelled + unsure +
    expired. ``double`` want two people, ``disagreeing`` went to a third, who ``adjudicated``.

    ``worst``: quality of the served answers before the first unresolved draw, whatever the silent
    labels hide; None before any label. ``pairs`` answers have two people's grades; their kappa is
    None where it is not defined.
    """

    window: str
    segment: str
    drawn: int
    waiting: int
    leased: int
    labelled: int
    unsure: int
    expired: int
    double: int
    disagreeing: int
    adjudicated: int
    worst: Interval | None
    pairs: int
    kappa: Interval | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Answers that two people graded, the share of them graded alike, and their kappa; the latter
    two are None below ``FEWEST`` pairs, so that no single vote shows in them.
    """

    pairs: int
    alike: float | None
    kappa: Interval | None


def agreement(connection: Connection) -> Agreement:
    """Of any two people who were first to grade an answer."""
    votes = connection.execute(SQL["double_votes"]).fetchall()
    pairs = [(vote["first"], vote["second"]) for vote in votes]
    if len(pairs) < FEWEST:
        return Agreement(len(pairs), None, None)
    alike = sum(first == second for first, second in pairs) / len(pairs)
    return Agreement(len(pairs), alike, kappa(pairs))


def read(connection: Connection, now: datetime) -> list[Stage]:
    """By window, the shortest first, and segment; by the times of the queries."""
    sinces = {name: None if span is None else now - span for name, span in WINDOWS.items()}
    asked = {"windows": list(sinces), "sinces": list(sinces.values()), "now": now}
    stages = connection.execute(SQL["label_funnel"], asked).fetchall()
    votes = connection.execute(SQL["double_votes"]).fetchall() if stages else []
    return [_stage(row, votes, sinces[row["window"]]) for row in stages]


def kappa(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """Agreement beyond chance; None where all is one grade, or there is nothing.

    >>> kappa([]), kappa([(1.0, 1.0)])
    (None, None)
    """
    if len({value for pair in pairs for value in pair}) < 2:
        return None
    first, second = np.array(pairs, dtype=np.float64).T
    return cohens_kappa(first, second)


def worst(weight: float, squared: float, right: float, silent: float) -> Interval | None:
    """From the lower limit if all that is silent is wrong to the upper one if all of it is right.

    ``weight`` and ``squared`` are sums of one over the draws' probabilities, and of its square;
    ``right`` and ``silent`` the parts of ``weight`` that are so. Wilson's intervals; None where
    there is no label.

    >>> bounds = worst(1000, 10_000, 700, 200)
    >>> round(bounds.low, 3), round(bounds.high, 3)
    (0.604, 0.945)
    """
    if silent >= weight:
        return None
    n = weight**2 / squared
    lowest, highest = wilson(right / weight, n), wilson(min((right + silent) / weight, 1.0), n)
    return Interval((lowest.estimate + highest.estimate) / 2, lowest.low, highest.high)


def _stage(
    row: Mapping[str, Any], votes: Sequence[Mapping[str, Any]], since: datetime | None
) -> Stage:
    pairs = [
        (vote["first"], vote["second"])
        for vote in votes
        if vote["segment"] == row["segment"] and (since is None or vote["at"] >= since)
    ]
    sums = {"weight", "squared", "right", "silent"}
    counts = {name: value for name, value in row.items() if name not in sums}
    bounds = worst(row["weight"], row["squared"], row["right"], row["silent"])
    return Stage(**counts, worst=bounds, pairs=len(pairs), kappa=kappa(pairs))
