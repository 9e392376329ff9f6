"""Traffic: the queries of a period and what they cost, whether few or many.

Few are counted one by one. Of many the sums are read that the control plane keeps; those begin at
ten minutes, and a quantile is read from bins that are 10 % wide.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from dashboard.store import SQL, Store

FEW = 10_000  # queries that are counted in an instant
STEP = timedelta(minutes=10)
EVERYTHING: Mapping[str, Any] = {"tenant": None, "segment": None, "version": None, "tier": None}
P95 = 0.95


class Traffic:
    """A part of the traffic of the last ``period``; ``since`` is when it begins.

    ``summed``: whether sums are read, by a statement's twin named ``summed_..`` where it has one.
    """

    def __init__(
        self,
        store: Store,
        now: datetime,
        period: timedelta,
        narrowed: Mapping[str, Any] = EVERYTHING,
    ) -> None:
        self._store = store
        self._narrowed = narrowed
        since = step_of(now - period)
        self.summed = store.row("summed_queries", since=since)["queries"] > FEW
        self.since = since if self.summed else now - period

    def row(self, name: str, **parameters: Any) -> dict[str, Any]:
        """The one row of a statement."""
        (found,) = self.rows(name, **parameters)
        return found

    def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """What a statement finds."""
        twin = f"summed_{name}"
        statement = twin if self.summed and twin in SQL else name
        return self._store.rows(statement, **self._narrowed, since=self.since, **parameters)

    def p95(self, measure: str) -> float | None:
        """The 95th percentile of a measure, in its unit; ``answer`` is in ms."""
        if self.summed:
            return quantile(self.rows("bins", measure=measure), P95)
        found: float | None = self.row("p95")["p95"]
        return found


def step_of(at: datetime) -> datetime:
    """When the ten minutes began in which a moment lies.

    >>> step_of(datetime(2026, 1, 1, 9, 59, tzinfo=UTC)).minute
    50
    """
    seconds = STEP.total_seconds()
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


def quantile(bins: Sequence[Mapping[str, Any]], share: float) -> float | None:
    """Below which a share of the values lies; ``bins`` ascend and have lower, upper and n.

    Within its bin it lies where it would if their logarithms were spread evenly.

    >>> quantile([{"lower": 1, "upper": 10, "n": 1}, {"lower": 10, "upper": 1000, "n": 1}], 0.75)
    100.0
    """
    counts = list(accumulate(each["n"] for each in bins))
    if not counts:
        return None
    wanted = share * counts[-1]
    place = next(index for index, count in enumerate(counts) if count >= wanted)
    found = bins[place]
    within = (wanted - counts[place] + found["n"]) / found["n"]
    return float(found["lower"] * (found["upper"] / found["lower"]) ** float(within))
