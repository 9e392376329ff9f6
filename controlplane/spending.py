"""What was spent lately, set against the time before it, and what drove the change in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import errors

from controlplane.connection import Connection
from controlplane.evaluate.cost_drift import Cell, CostDrift, Driver, Period, decompose
from controlplane.spent import first_query, many, spent, unsummed
from dataplane.contract.errors import OperatorError

MISSING = 0.1  # share of the earlier period that may lie before its first query, untold
SMALL = 1e-9  # USD

WORDS: dict[Driver, tuple[str, str]] = {  # as they raise spend, and as they lower it
    "volume": ("more queries", "fewer queries"),
    "mix": ("a dearer mix of segments", "a cheaper mix of segments"),
    "routing": ("the policy calling dearer tiers", "the policy calling cheaper tiers"),
    "tokens": ("more tokens a call", "fewer tokens a call"),
    "price": ("higher prices", "lower prices"),
    "judging": ("more judging", "less judging"),
    "shadowing": ("more shadowing and auditing", "less shadowing and auditing"),
}


@dataclass(frozen=True, slots=True)
class Spending:
    """The last ``days`` days until ``at``, set against the ``earlier_days`` days before them.

    The earlier period's counts and spend are scaled to the length of the later one. ``first_at``
    is its first query, None where it has none. ``unsummed`` records have arrived that the sums lack
    of which this was read.
    """

    at: datetime
    days: float
    earlier_days: float
    first_at: datetime | None
    before: Period
    after: Period
    drift: CostDrift
    unsummed: int

    @property
    def sentence(self) -> str:
        """What drove the change."""
        if self.first_at is None:
            return (
                f"Spend was {self.drift.after_usd:,.4g} USD in {_days(self.days)}; nothing is "
                "known of the time before: there is nothing to compare with yet."
            )
        return " ".join((_change(self.drift, self.days), *self._warnings()))

    def _warnings(self) -> Iterator[str]:
        first, start = self.first_at, self.at - timedelta(days=self.days + self.earlier_days)
        if first and (first - start) >= MISSING * timedelta(days=self.earlier_days):
            yield f"The earlier period has no queries before {first:%Y-%m-%d %H:%M} UTC."
        if self.unsummed:
            yield f"{self.unsummed:,} records have arrived that are not counted yet."

    def to_json(self) -> dict[str, Any]:
        """As JSON values; USD throughout."""
        drift = self.drift
        return {
            "at": self.at.isoformat(),
            "days": self.days,
            "before": self.earlier_days,
            "first_at": self.first_at and self.first_at.isoformat(),
            "sentence": self.sentence,
            "before_usd": drift.before_usd,
            "after_usd": drift.after_usd,
            "change_usd": drift.change_usd,
            "unsummed": self.unsummed,
            "queries": [
                {
                    "segment": segment,
                    "before": self.before.queries.get(segment, 0.0),
                    "after": self.after.queries.get(segment, 0.0),
                }
                for segment in sorted({*self.before.queries, *self.after.queries})
            ],
            "effects": drift.effects,
            "cells": [
                cell._asdict()
                | {"before_usd": self.spent(self.before, cell)}
                | {"after_usd": self.spent(self.after, cell)}
                | {"effects": effects}
                for cell, effects in drift.by_cell.items()
            ],
        }

    @staticmethod
    def spent(period: Period, cell: Cell) -> float:
        """USD of one cell."""
        return period.calls[cell].usd if cell in period.calls else 0.0


class TooLongError(OperatorError):
    """There are more calls in these periods, and not in sums, than can be read in time."""


def compare(
    connection: Connection,
    days: float,
    earlier_days: float,
    now: datetime,
    within_s: float | None = None,
) -> Spending:
    """Read both periods and set them against each other; nothing is written.

    Raises ``TooLongError`` where one statement takes longer than ``within_s``.
    """
    if within_s is None:
        return _compare(connection, days, earlier_days, now)
    timeout = {"limit": f"{1000 * within_s:.0f}"}
    connection.execute("SELECT set_config('statement_timeout', %(limit)s, true)", timeout)
    try:
        return _compare(connection, days, earlier_days, now)
    except errors.QueryCanceled:
        raise TooLongError(
            f"these periods hold too many calls to be read within {within_s:g} s: compare shorter "
            "ones, or ask `penstock cost`, which takes its time"
        ) from None


def _compare(connection: Connection, days: float, earlier_days: float, now: datetime) -> Spending:
    turn = now - timedelta(days=days)
    start = turn - timedelta(days=earlier_days)
    summed = many(connection, start, now)
    before = spent(connection, start, turn, summed=summed).times(days / earlier_days)
    after = spent(connection, turn, now, summed=summed)
    return Spending(
        at=now,
        days=days,
        earlier_days=earlier_days,
        first_at=first_query(connection, start, turn),
        before=before,
        after=after,
        drift=decompose(before, after),
        unsummed=unsummed(connection) if summed else 0,
    )


def _change(drift: CostDrift, days: float) -> str:
    change, span = drift.change_usd, _days(days)
    ranked = sorted(drift.effects.items(), key=lambda each: -abs(each[1]))
    causes = [_cause(drift, driver, usd) for driver, usd in ranked[:2] if abs(usd) > SMALL]
    if not causes:
        return f"Spend did not change: {drift.after_usd:,.4g} USD in {span}."
    share = f" ({change / drift.before_usd:+.1%})" if drift.before_usd > SMALL else ""
    moved = "rose" if change > 0 else "fell"
    said = f"Spend {moved} by {abs(change):,.4g} USD{share}, to {drift.after_usd:,.4g} in {span}"
    return f"{said}, chiefly by {', then by '.join(causes)}."


def _cause(drift: CostDrift, driver: Driver, usd: float) -> str:
    words = f"{WORDS[driver][usd < 0]} ({usd:+,.4g} USD"
    if driver in ("volume", "mix"):
        return f"{words})"
    cell = drift.foremost(driver)
    return f"{words}, most of it {cell.tier} in segment {cell.segment})"


def _days(days: float) -> str:
    return f"{days:g} day{'' if days == 1 else 's'}"
