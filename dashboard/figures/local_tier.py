"""Figures of the local tier: whether the box keeps up with what it is asked."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import pandas as pd

from dashboard.figures.reports import reports
from dashboard.figures.traffic import STEP, Traffic, quantile
from dashboard.period import drawn
from dashboard.store import Store

Row: TypeAlias = Mapping[str, Any]
Verdict: TypeAlias = Literal["idle", "keeps up", "queues", "fails", "away"]

HOUR = timedelta(hours=1)
FAILING = 0.02  # share of calls
PACE = ("at", "ttft_ms", "ttft_p95_ms", "tokens_per_s", "tokens_per_s_p5")
CALLS = ("at", "calls", "failed", "prompt_tokens", "completion_tokens")
ENGINES = ("at", "plane", "waiting", "busy_share", "memory_bytes")


@dataclass(frozen=True, slots=True)
class LocalTier:
    """What the page shows, at ``now``. Frames have the columns ``CALLS``, ``PACE``, ``ENGINES``.

    ``pace`` is that of the whole period: ``ttft_ms`` and ``tokens_per_s`` are medians. ``bucket``
    is how long a row of ``calls`` lasts.
    """

    now: datetime
    tier: str
    calls: pd.DataFrame
    pace: Row
    pace_course: pd.DataFrame
    bucket: timedelta
    summed: bool
    engines: Sequence[Row]
    engine_course: pd.DataFrame

    @property
    def asked(self) -> int:
        """Calls of the period, served and shadows."""
        return int(self.calls["calls"].sum())

    @property
    def failed(self) -> int:
        """Calls that gave no answer."""
        return int(self.calls["failed"].sum())

    @property
    def owned(self) -> Sequence[Row]:
        """The engines that we run ourselves, and so know of."""
        return [row for row in self.engines if row["slots"] is not None]

    @property
    def waiting(self) -> int:
        """Generations that wait for a slot now."""
        return sum(row["queue_depth"] or 0 for row in self.owned)

    @property
    def gpu(self) -> tuple[int, int] | None:
        """Of the fullest GPU: bytes in use, and how many it has; planes may share one."""
        told = [(row["gpu_used_bytes"], row["gpu_bytes"]) for row in self.owned if row["gpu_bytes"]]
        return max(told, key=lambda each: each[0] / each[1], default=None)

    @property
    def verdict(self) -> Verdict:
        """Whether it keeps up."""
        if self.engines and all(row["unavailable"] for row in self.engines):
            return "away"
        if self.asked and self.failed / self.asked > FAILING:
            return "fails"
        if self.waiting:
            return "queues"
        return "keeps up" if self.asked else "idle"


def read(store: Store, period: timedelta) -> LocalTier | None:
    """All figures, None before any policy; raises ``StoreUnavailable`` through its snapshot."""
    now = store.row("now")["now"]
    named = store.row_or_none("local_name")
    if named is None:
        return None
    tier = {"tier": named["tier"]}
    traffic = Traffic(store, now, period, tier)
    extent = store.row("extent", since=traffic.since)
    bucket = max(drawn(extent), STEP) if traffic.summed else drawn(extent)
    pace = _summed_pace(traffic, bucket) if traffic.summed else traffic.rows("pace", width=bucket)
    whole = next((row for row in pace if row["at"] is None), dict.fromkeys(PACE))
    return LocalTier(
        now=now,
        tier=named["tier"],
        calls=pd.DataFrame(traffic.rows("local_calls", width=bucket), columns=list(CALLS)),
        pace=whole,
        pace_course=pd.DataFrame([r for r in pace if r["at"] is not None], columns=list(PACE)),
        bucket=bucket,
        summed=traffic.summed,
        engines=store.rows("engines_now", **tier, now=now),
        engine_course=pd.DataFrame(
            reports(store, "engines", now, period, **tier), columns=list(ENGINES)
        ),
    )


def _summed_pace(traffic: Traffic, bucket: timedelta) -> list[dict[str, Any]]:
    """As the statement ``pace`` has it, from bins by the hour."""
    parts: dict[datetime | None, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in traffic.rows("pace_bins", width=max(bucket, HOUR)):
        parts[row["at"]][row["measure"]].append(row)
        parts[None][row["measure"]].append(row)
    return [
        {
            "at": at,
            "ttft_ms": quantile(_ascending(of["ttft"]), 0.5),
            "ttft_p95_ms": quantile(_ascending(of["ttft"]), 0.95),
            "tokens_per_s": quantile(_ascending(of["speed"]), 0.5),
            "tokens_per_s_p5": quantile(_ascending(of["speed"]), 0.05),
        }
        for at, of in parts.items()
    ]


def _ascending(bins: Sequence[Row]) -> list[Row]:
    """Bins of the same bounds as one, in order."""
    counts: dict[tuple[float, float], int] = defaultdict(int)
    for row in bins:
        counts[row["lower"], row["upper"]] += row["n"]
    return [{"lower": lo, "upper": hi, "n": n} for (lo, hi), n in sorted(counts.items())]
