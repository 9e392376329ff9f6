"""The hold-out: a share of conversations that keeps the last structural policy.

What the live policy saves beside it is measured, by who came to which by a hash, and not modelled.
Cost is that of serving; quality that of audited answers, each weighed by one over its chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import sqrt
from typing import Any

import numpy as np

from controlplane import proposals
from controlplane.connection import Connection
from controlplane.observations import Labelled
from controlplane.observe import PostgresLog
from controlplane.sql import SQL
from controlplane.stats import Interval, Survey, hajek_mean
from controlplane.stats.intervals import normal_quantile
from dataplane.contract.publication import Part, parts

LOOK_BACK = 1_000  # publications, and that many times five labels
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Side:
    """What one of both served: mean USD a query with its standard error, quality by labels."""

    queries: int
    usd: float
    usd_error: float
    labels: int
    quality: Interval


@dataclass(frozen=True, slots=True)
class HoldOut:
    """The version that is held out for a ``share`` since then; ``saved``: 1 - live / held cost."""

    version: int
    share: float
    since: datetime
    held: Side
    live: Side
    saved: Interval | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"since": self.since.isoformat()}


def measured(connection: Connection) -> HoldOut | None:
    """The hold-out that is in force, None where there is none."""
    rows = connection.execute(SQL["publications_back"], {"limit": LOOK_BACK}).fetchall()
    history = [(parts(row["in_force"]), row["published_at"]) for row in rows]
    if not history:
        return None
    part = _held(connection, history[0][0])
    if part is None:
        return None
    since = _since(history, part.version)
    asked = {"version": part.version, "since": since}
    costs = {row["canary"]: row for row in connection.execute(SQL["served_since"], asked)}
    labelled = PostgresLog(connection).latest(5 * LOOK_BACK)
    fresh = [each for each in labelled if each.observation.at >= since]
    held, live = (
        _side(costs.get(mine), [each for each in fresh if _is(each, part.version) == mine])
        for mine in (True, False)
    )
    return HoldOut(part.version, part.share, since, held, live, _saved(held, live))


def _held(connection: Connection, in_force: Sequence[Part]) -> Part | None:
    """What has a share beside the version that leads, and is no canary."""
    lead, proposal = _lead(in_force), proposals.read(connection)
    others = [part for part in in_force if part.share and part.version != lead]
    canary = proposal.version if proposal else None
    return next((part for part in others if part.version != canary), None)


def _lead(in_force: Sequence[Part]) -> int:
    return max(in_force, key=lambda part: part.share).version


def _since(history: Sequence[tuple[Sequence[Part], datetime]], version: int) -> datetime:
    """The first publication from which on it was held out without a break."""
    since = history[0][1]
    for in_force, published_at in history:
        if _lead(in_force) == version or version not in {
            part.version for part in in_force if part.share
        }:
            break
        since = published_at
    return since


def _is(each: Labelled, version: int) -> bool:
    return each.observation.policy_version == version


def _side(cost: Mapping[str, Any] | None, labelled: Sequence[Labelled]) -> Side:
    told = [each for each in labelled if each.observation.served in each.right]
    value = np.array([each.right[each.observation.served] for each in told])
    chance = np.array([each.audit_probability for each in told])
    quality = hajek_mean(Survey(value, value, chance, 0.0, len(told)), CONFIDENCE)
    if cost is None:
        return Side(0, 0.0, 0.0, len(told), quality)
    error = sqrt((cost["usd_variance"] or 0.0) / max(cost["answered"], 1))
    return Side(cost["answered"], cost["usd"] or 0.0, error, len(told), quality)


def _saved(held: Side, live: Side) -> Interval | None:
    """By the delta method; None where either served too little to say."""
    if held.queries < 2 or live.queries < 2 or not held.usd:
        return None
    ratio = live.usd / held.usd
    error = sqrt(live.usd_error**2 + (ratio * held.usd_error) ** 2) / held.usd
    wide = normal_quantile(CONFIDENCE) * error
    return Interval(1 - ratio, 1 - ratio - wide, 1 - ratio + wide)
