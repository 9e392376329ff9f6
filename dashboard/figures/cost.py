"""Figures of cost drift: the control plane's split of the change, and spend over time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from dashboard.figures.traffic import STEP, Traffic
from dashboard.filters import Filters
from dashboard.period import drawn, width
from dashboard.store import Store
from dashboard.units import share, usd

DRIVERS = {  # as they raise spend, and as they lower it
    "volume": ("more queries", "fewer queries"),
    "mix": ("a dearer mix of segments", "a cheaper mix of segments"),
    "routing": ("more calls of dear tiers", "fewer calls of dear tiers"),
    "tokens": ("more tokens a call", "fewer tokens a call"),
    "price": ("higher prices", "lower prices"),
    "judging": ("more judging", "less judging"),
    "shadowing": ("more shadowing and auditing", "less shadowing and auditing"),
}
BAND = (0.05, 0.95)  # of the earlier period's buckets
ENOUGH = 10  # of them, before a band is drawn
SMALL = 1e-9  # USD
MISSING = 0.1  # share of the earlier period that may lie before its first query, untold
DAY = timedelta(days=1)
LONGEST_DAYS = 92.0  # that the control plane compares with


@dataclass(frozen=True, slots=True)
class Drift:
    """The change of spend between two periods; USD and queries in the later one's ``days``.

    ``effects``: by driver; they sum to the change. ``cells``: a row a segment, tier and purpose.
    ``first_at``: the earlier period's first query, None where it has none. ``unsummed`` records
    have arrived and are not counted yet.
    """

    days: float
    before_days: float
    at: datetime
    first_at: datetime | None
    before_usd: float
    after_usd: float
    queries_before: float
    queries: float
    unsummed: int
    effects: Mapping[str, float]
    cells: pd.DataFrame

    @property
    def change_usd(self) -> float:
        """What is to be explained."""
        return self.after_usd - self.before_usd

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Drivers that moved spend, the most first."""
        moved = [(name, usd) for name, usd in self.effects.items() if abs(usd) > SMALL]
        return sorted(moved, key=lambda each: -abs(each[1]))

    @property
    def uncovered(self) -> bool:
        """Whether the earlier period has no queries at its beginning."""
        if self.first_at is None:
            return False
        start = self.at - (self.days + self.before_days) * DAY
        return self.first_at - start >= MISSING * self.before_days * DAY


def drift(told: Mapping[str, Any], segment: str | None = None) -> Drift:
    """What the control plane answered; of one segment, its cells alone."""
    cells = [cell for cell in told["cells"] if segment in (None, cell["segment"])]
    queries = [each for each in told["queries"] if segment in (None, each["segment"])]
    first_at = told["first_at"]
    return Drift(
        days=told["days"],
        before_days=told["before"],
        at=datetime.fromisoformat(told["at"]),
        first_at=first_at and datetime.fromisoformat(first_at),
        before_usd=sum(cell["before_usd"] for cell in cells),
        after_usd=sum(cell["after_usd"] for cell in cells),
        queries_before=sum(each["before"] for each in queries),
        queries=sum(each["after"] for each in queries),
        unsummed=told["unsummed"],
        effects={name: sum(cell["effects"][name] for cell in cells) for name in DRIVERS},
        cells=_cells(cells),
    )


def _cells(cells: list[dict[str, Any]]) -> pd.DataFrame:
    rows = [
        {
            "segment": cell["segment"],
            "tier": cell["tier"],
            "purpose": cell["purpose"],
            "before (USD)": cell["before_usd"],
            "after (USD)": cell["after_usd"],
            "change (USD)": cell["after_usd"] - cell["before_usd"],
            **{f"by {name} (USD)": cell["effects"][name] for name in DRIVERS},
        }
        for cell in cells
    ]
    names = ["segment", "tier", "purpose", "before (USD)", "after (USD)", "change (USD)"]
    frame = pd.DataFrame(rows, columns=[*names, *(f"by {name} (USD)" for name in DRIVERS)])
    return frame.sort_values("change (USD)", key=abs, ascending=False, ignore_index=True)


def sentence(found: Drift) -> str:
    """The change and its two foremost drivers, in words.

    >>> told = {"days": 1, "before": 1, "at": "2026-01-02T00:00Z", "first_at": "2025-12-31T00:00Z",
    ...         "queries": [], "unsummed": 0}
    >>> effects = dict.fromkeys(DRIVERS, 0.0) | {"volume": 0.5, "price": -0.25}
    >>> cell = {"segment": "a", "before_usd": 1.0, "after_usd": 1.25, "effects": effects,
    ...         "tier": "cloud", "purpose": "serve"}
    >>> sentence(drift(told | {"cells": [cell]}))
    'Spend rose by 25 % (+0.250 USD a day): more queries (+0.500 USD a day), then lower prices \
(-0.250 USD a day).'
    """
    if found.first_at is None:
        return (
            f"Spend was {usd(found.after_usd / found.days)} a day; nothing is known of the time "
            "before, so there is nothing to compare with yet."
        )
    causes = [
        f"{DRIVERS[name][change < 0]} ({_daily(change, found)})"
        for name, change in found.ranked[:2]
    ]
    if not causes:
        return f"Spend did not change: {usd(found.after_usd / found.days)} a day."
    moved = "rose" if found.change_usd > 0 else "fell"
    by = (
        f" by {share(abs(found.change_usd) / found.before_usd)}" if found.before_usd > SMALL else ""
    )
    return f"Spend {moved}{by} ({_daily(found.change_usd, found)}): {', then '.join(causes)}."


def _daily(change: float, found: Drift) -> str:
    sign = "+" if change > 0 else "-"
    return f"{sign}{usd(abs(change) / found.days)} a day"


def steps(found: Drift) -> pd.DataFrame:
    """Bars of a waterfall: what, low and high end, change (USD), and kind total|rise|fall."""
    rows = [("spent before", 0.0, found.before_usd, found.before_usd, "total")]
    level = found.before_usd
    for name, change in found.ranked:
        kind = "rise" if change > 0 else "fall"
        rows.append((name, level, level + change, change, kind))
        level += change
    rows.append(("spent after", 0.0, found.after_usd, found.after_usd, "total"))
    return pd.DataFrame(rows, columns=["what", "start", "end", "usd", "kind"])


@dataclass(frozen=True, slots=True)
class Course:
    """Spend over time. ``buckets``: at, until, queries, usd_per_1000, outside; ``purposes``: at,
    until, purpose, usd_per_1000. Of the later period alone; counts are of either.

    ``band``: within which nine of ten buckets of the earlier period lay, None if too few had a
    query; its middle is their median. ``summed``: from sums by ten minutes.
    """

    now: datetime
    buckets: pd.DataFrame
    purposes: pd.DataFrame
    band: tuple[float, float, float] | None
    queries: int
    queries_before: int
    summed: bool
    changes: pd.DataFrame
    simulated: list[str]

    @property
    def outside(self) -> int:
        """Buckets beyond the band."""
        return int(self.buckets["outside"].sum())


def read(store: Store, filters: Filters, times: float) -> Course:
    """Spend of the period, beside as many earlier ones as ``times`` says."""
    now = store.row("now")["now"]
    earlier_span = times * filters.span
    traffic = Traffic(store, now, earlier_span + filters.span, {"segment": filters.segment})
    turn = traffic.since + earlier_span
    extent = store.row("extent", since=traffic.since)
    compared = extent["first"] is None or extent["first"] < turn
    fine = width(filters.span) if compared else drawn(extent)
    bucket = max(fine, STEP) if traffic.summed else fine
    of = {"now": now, "turn": turn, "width": bucket}
    queries = pd.DataFrame(traffic.rows("cost_queries", **of), columns=["at", "queries"])
    spend = pd.DataFrame(traffic.rows("cost_calls", **of), columns=["at", "purpose", "cost_usd"])
    changes = traffic.rows("cost_changes", **of)
    simulated = [row["name"] for row in store.rows("simulated", since=turn)]
    whole = _whole(queries, spend)
    earlier, later = whole[whole["at"] < turn], whole[whole["at"] >= turn]
    found = band(earlier["usd_per_1000"])
    return Course(
        now=now,
        buckets=_judged(later, found).assign(until=later["at"] + bucket),
        purposes=_by_purpose(spend[spend["at"] >= turn], later, bucket),
        band=found,
        queries=int(later["queries"].sum()),
        queries_before=int(earlier["queries"].sum()),
        summed=traffic.summed,
        changes=pd.DataFrame(changes, columns=["at", "kind", "standing", "reason"]),
        simulated=simulated,
    )


def _whole(queries: pd.DataFrame, spend: pd.DataFrame) -> pd.DataFrame:
    """A row a bucket that has a query."""
    total = spend.groupby("at", as_index=False)["cost_usd"].sum()
    both = queries.merge(total, on="at", how="left").fillna({"cost_usd": 0.0})
    return both.assign(usd_per_1000=1000 * both["cost_usd"] / both["queries"])


def _by_purpose(spend: pd.DataFrame, later: pd.DataFrame, bucket: timedelta) -> pd.DataFrame:
    both = spend.merge(later[["at", "queries"]], on="at")
    both["usd_per_1000"] = 1000 * both["cost_usd"] / both["queries"]
    both["until"] = both["at"] + bucket
    return both[["at", "until", "purpose", "usd_per_1000"]]


def band(earlier: pd.Series) -> tuple[float, float, float] | None:
    """Low end, median and high end of the earlier buckets.

    >>> band(pd.Series(range(101)))
    (5.0, 50.0, 95.0)
    """
    if len(earlier) < ENOUGH:
        return None
    low, middle, high = (float(each) for each in earlier.quantile([BAND[0], 0.5, BAND[1]]))
    return low, middle, high


def _judged(buckets: pd.DataFrame, found: tuple[float, float, float] | None) -> pd.DataFrame:
    if found is None:
        return buckets.assign(outside=False)
    return buckets.assign(outside=~buckets["usd_per_1000"].between(found[0], found[2]))
