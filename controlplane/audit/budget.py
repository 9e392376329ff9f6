"""Keeping to so many draws a day: the rate that the budget leaves, from how much traffic there was.

The rate falls before the budget is spent, never a draw that fell: which query is drawn is settled
by the policy that served it, and the policy by numbers of queries and of draws. So nothing that
an answer is worth bears on whether its label is asked for, and no estimate is biased.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from controlplane import states
from controlplane.audit import sample
from controlplane.connection import Connection
from controlplane.observations import Observation
from controlplane.sql import SQL
from dataplane.contract.policy import PolicyDocument

VOLUME = "volume"
SAID = "; audit budget: "
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PERIOD_S = 300  # queries are counted by periods of that many seconds
TRICKLE = 0.1  # of the day's pace, once the budget is spent: every query keeps a known chance
LEAST = 1e-4


@dataclass
class Volume:
    """How many queries each segment had in each period of the last day."""

    periods: dict[int, dict[str, int]] = field(default_factory=dict)

    def saw(self, observations: Iterable[Observation], now: datetime) -> None:
        """Count queries by their own times, and forget those of more than a day ago."""
        for seen in observations:
            counts = self.periods.setdefault(_period(seen.at), {})
            counts[seen.segment] = counts.get(seen.segment, 0) + 1
        first = _period(now - DAY)
        self.periods = {at: counts for at, counts in self.periods.items() if at >= first}

    def since(self, moment: datetime, segment: str) -> int:
        """Queries of a segment in the period of that moment, and after it."""
        first = _period(moment)
        return sum(counts.get(segment, 0) for at, counts in self.periods.items() if at >= first)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {str(at): counts for at, counts in self.periods.items()}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "Volume":
        """Inverse of ``state``."""
        return cls({int(at): dict(counts) for at, counts in state.items()})


def left(share: float, day: int, hour: int, drawn: int) -> float:
    """The greatest rate for a segment that may have ``share`` draws a day.

    ``day``, ``hour``: its queries in the last of either; ``drawn``: its draws of the last day. The
    pace is for the busier of both. What is left of the share lasts for an hour like the last one,
    at least, so the rate falls as it is used up.

    >>> left(240, 24_000, 1_000, 0), left(240, 24_000, 3_000, 0), left(240, 24_000, 1_000, 239)
    (0.01, 0.0033333333333333335, 0.001)
    """
    pace = share / max(day, 24 * hour, 1)
    rest = max(share - drawn, 0) / max(hour, 1)
    return min(max(min(pace, rest), TRICKLE * pace, LEAST), 1.0)


def most(
    per_day: float, volume: Volume, drawn: Mapping[str, int], segments: Iterable[str], now: datetime
) -> dict[str, float]:
    """The greatest rate of each segment: all have equal shares of the draws a day.

    Equal shares and not shares by volume: how well a segment is known goes with its labels.
    """
    names = list(segments)
    return {
        name: left(
            per_day / len(names),
            volume.since(now - DAY, name),
            volume.since(now - HOUR, name),
            drawn.get(name, 0),
        )
        for name in names
    }


def rationed(
    connection: Connection, live: PolicyDocument, per_day: int | None, now: datetime
) -> PolicyDocument:
    """The live policy with the rates that the budget leaves; without a budget, without limits."""
    names = [each.name for each in live.segments]
    if per_day is None:
        limited = any(each.most < 1 for each in live.audit.segments)
        return sample.rationed(live, dict.fromkeys(names, 1.0)) if limited else live
    volume = Volume.restored(states.load_value(connection, VOLUME, default={}))
    rows = connection.execute(SQL["drawn_since"], {"since": now - DAY})
    drawn = {row["segment"]: row["drawn"] for row in rows}
    return sample.rationed(live, most(per_day, volume, drawn, names, now))


def count(connection: Connection, observations: Iterable[Observation], now: datetime) -> None:
    """Keep count of the traffic, in the transaction that observes it."""
    volume = Volume.restored(states.load_value(connection, VOLUME, default={}))
    volume.saw(observations, now)
    states.save_value(connection, VOLUME, volume.state())


def successor(live: PolicyDocument, asked: PolicyDocument, now: datetime) -> PolicyDocument | None:
    """A policy for the rates alone, where they move by enough; whoever wrote the rest is named."""
    if not sample.moved(live.audit, asked.audit):
        return None
    rates = ", ".join(f"{asked.audit.mean(each.name):.2%} of {each.name}" for each in live.segments)
    reason = f"{live.reason.partition(SAID)[0]}{SAID}{rates} drawn"
    return asked.model_copy(update={"kind": "retune", "reason": reason, "issued_at": now})


def _period(at: datetime) -> int:
    return int(at.timestamp()) // PERIOD_S
