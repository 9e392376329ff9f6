"""The funnel of labels: what became of the draws, and how far two people agree on an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from controlplane.connection import Connection
from controlplane.sql import SQL
from controlplane.stats import Interval, cohens_kappa

WINDOWS: dict[str, timedelta | None] = {
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "all": None,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """The draws of a window and segment: ``drawn`` is waiting + leased + labelled + unsure +
    expired. ``double`` want two people, ``disagreeing`` went to a third, who ``adjudicated``.

    ``pairs`` answers have two people's grades; their kappa is None where it is not defined.
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
    pairs: int
    kappa: Interval | None


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


def _stage(
    row: Mapping[str, Any], votes: Sequence[Mapping[str, Any]], since: datetime | None
) -> Stage:
    pairs = [
        (vote["first"], vote["second"])
        for vote in votes
        if vote["segment"] == row["segment"] and (since is None or vote["at"] >= since)
    ]
    return Stage(**row, pairs=len(pairs), kappa=kappa(pairs))
