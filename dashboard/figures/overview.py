"""Figures of the overview: what was asked of the store at one moment, and what follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from dashboard.figures.traffic import EVERYTHING, STEP, Traffic
from dashboard.period import drawn
from dashboard.store import Store

ENOUGH = 30  # labels below which an interval says too little to be shown
PRIOR_CALLS = 5  # that a policy's expectation is worth, in shadow calls


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy in force. Without ``target_quality`` its objective is a cost ceiling."""

    version: int
    published_at: datetime
    author: str
    reason: str
    mode: str
    routing_threshold: float
    judge_cutoff: float
    judge: str
    judge_lowest: float
    judge_highest: float
    target_quality: float | None
    tolerance: float | None
    reference: str | None
    confidence: float

    @property
    def floor(self) -> float | None:
        """The share of right answers that is promised, where the target is such a share."""
        if self.target_quality is None or self.reference != "ground_truth":
            return None
        return self.target_quality - (self.tolerance or 0.0)


@dataclass(frozen=True, slots=True)
class Quality:
    """The latest estimate of served quality; the numbers are None until there are ``ENOUGH``."""

    at: datetime
    answers: int
    labels: int
    quality: float
    lo: float
    hi: float
    silent_share: float

    def verdict(self, floor: float) -> str:
        """Whether the promise is kept, as far as the interval can tell."""
        if self.lo >= floor:
            return "kept"
        return "missed" if self.hi < floor else "undecided"


@dataclass(frozen=True, slots=True)
class Money:
    """What the period cost, and what it would have cost on the cloud alone (USD).

    ``paid_cloud_usd`` is what answered queries paid for the cloud's answers; ``expected_cloud_usd``
    what their policies expected of a cloud call for each of the others. Those are other queries:
    ``correction`` is what the calls shadowed among them cost in relation to that.
    """

    by_purpose: Mapping[str, float]
    paid_cloud_usd: float
    expected_cloud_usd: float
    correction: float
    shadow_calls: int
    labels: int
    labels_usd: float

    @property
    def spent_usd(self) -> float:
        """All calls of all purposes; labels are apart."""
        return sum(self.by_purpose.values())

    @property
    def always_cloud_usd(self) -> float:
        """The estimate for always-cloud; failed queries are charged above and credited nothing."""
        return self.paid_cloud_usd + self.expected_cloud_usd * self.correction

    @property
    def saved_share(self) -> float | None:
        """What was saved of always-cloud's cost; None where that is nothing."""
        dear = self.always_cloud_usd
        return 1 - self.spent_usd / dear if dear else None


@dataclass(frozen=True, slots=True)
class Figures:
    """All that the overview shows of one period, up to ``now``.

    ``summed``: from sums by ten minutes, which lack ``unsummed`` records that have arrived.

    Frames, by column: ``quality_course`` at, labels, quality, lo, hi; ``cost_course`` at, until,
    purpose, usd_per_1000; ``cloud_course`` at, usd_per_1000; ``policy_course`` at, version, mode,
    segment, routing_threshold, judge_cutoff.
    """

    now: datetime
    since: datetime
    summed: bool
    unsummed: int
    last: datetime | None
    queries: int
    answered: int
    local: int
    p95_latency_ms: float | None
    policy: Policy | None
    quality: Quality | None
    labels_missing: int
    money: Money
    alarms: Sequence[Mapping[str, Any]]
    gates: Sequence[Mapping[str, Any]]
    simulated: Sequence[str]
    quality_course: pd.DataFrame
    cost_course: pd.DataFrame
    cloud_course: pd.DataFrame
    policy_course: pd.DataFrame

    @property
    def local_share(self) -> float | None:
        """Answers that came from the local tier, of all answers."""
        return self.local / self.answered if self.answered else None


def read(
    store: Store,
    period: timedelta,
    narrowed: Mapping[str, Any] = EVERYTHING,
) -> Figures:
    """All figures of the last ``period``; raises ``StoreUnavailable`` through its snapshot.

    ``narrowed`` to some of the traffic, which quality, policy, gates and alarms are not.
    """
    now = store.row("now")["now"]
    traffic = Traffic(store, now, period, narrowed)
    extent = store.row("extent", since=traffic.since)
    first = max(traffic.since, extent["first"] or traffic.since)
    bucket = _bucket(traffic, extent)
    volume = pd.DataFrame(traffic.rows("volume", width=bucket), columns=list(VOLUME))
    spend = pd.DataFrame(traffic.rows("spend", width=bucket), columns=list(SPEND))
    money = _money(traffic, volume, spend)
    estimate = store.row_or_none("quality_now")
    labels = (estimate or {}).get("labels") or 0
    estimates = store.rows("quality", since=traffic.since, width=bucket, enough=ENOUGH)
    policies = store.rows("policies", since=traffic.since)
    return Figures(
        now=now,
        since=first,
        summed=traffic.summed,
        unsummed=store.row("unsummed")["records"] if traffic.summed else 0,
        last=extent["last"] or store.row("latest")["last"],
        **traffic.row("served"),
        p95_latency_ms=traffic.p95("answer"),
        policy=_policy(store.rows("live")),
        quality=Quality(**estimate) if estimate and labels >= ENOUGH else None,
        labels_missing=max(ENOUGH - labels, 0),
        money=money,
        alarms=store.rows("alarms", now=now),
        gates=store.rows("gates"),
        simulated=[row["name"] for row in store.rows("simulated", since=traffic.since)],
        quality_course=pd.DataFrame(estimates, columns=list(QUALITY)),
        cost_course=cost_course(volume, spend, bucket),
        cloud_course=cloud_course(volume, money.correction),
        policy_course=policy_course(policies, first, extent["last"] or now),
    )


def _bucket(traffic: Traffic, extent: Mapping[str, Any]) -> timedelta:
    return max(drawn(extent), STEP) if traffic.summed else drawn(extent)


VOLUME = ("at", "queries", "paid_cloud_usd", "expected_cloud_usd")
SPEND = ("at", "purpose", "cost_usd")
QUALITY = ("at", "labels", "quality", "lo", "hi")
COURSE = ("at", "version", "mode", "segment", "routing_threshold", "judge_cutoff")


def _money(traffic: Traffic, volume: pd.DataFrame, spend: pd.DataFrame) -> Money:
    shadows, votes = traffic.row("shadows"), traffic.row("votes")
    return Money(
        by_purpose={
            str(k): float(v) for k, v in spend.groupby("purpose")["cost_usd"].sum().items()
        },
        paid_cloud_usd=float(volume["paid_cloud_usd"].sum()),
        expected_cloud_usd=float(volume["expected_cloud_usd"].sum()),
        correction=correction(**shadows),
        shadow_calls=shadows["calls"],
        labels=votes["labels"],
        labels_usd=votes["cost_usd"],
    )


def correction(calls: int, cost_usd: float | None, expected_usd: float | None) -> float:
    """Cost in relation to expectation, drawn to 1 as if ``PRIOR_CALLS`` had cost what was expected.

    >>> correction(0, None, None), correction(15, 3.0, 1.0)
    (1.0, 2.5)
    """
    if not (cost_usd is not None and expected_usd):
        return 1.0
    return (calls * cost_usd / expected_usd + PRIOR_CALLS) / (calls + PRIOR_CALLS)


def _policy(segments: Sequence[Mapping[str, Any]]) -> Policy | None:
    """The live policy as its first segment has it."""
    if not segments:
        return None
    return Policy(**{name: segments[0][name] for name in Policy.__slots__})


def cost_course(volume: pd.DataFrame, spend: pd.DataFrame, bucket: timedelta) -> pd.DataFrame:
    """USD per 1,000 answered queries, by bucket and purpose."""
    both = spend.merge(volume, on="at")
    both["usd_per_1000"] = 1000 * both["cost_usd"] / both["queries"]
    both["until"] = both["at"] + bucket
    return both[["at", "until", "purpose", "usd_per_1000"]]


def cloud_course(volume: pd.DataFrame, correction: float) -> pd.DataFrame:
    """The always-cloud estimate in USD per 1,000 queries, by bucket."""
    dear = volume["paid_cloud_usd"] + correction * volume["expected_cloud_usd"]
    return volume[["at"]].assign(usd_per_1000=1000 * dear / volume["queries"])


def policy_course(
    policies: Sequence[Mapping[str, Any]], since: datetime, until: datetime
) -> pd.DataFrame:
    """The policies as steps: from ``since``, where one was in force by then, until ``until``."""
    steps = [{**row, "at": max(row["published_at"], since)} for row in reversed(policies)]
    ends = {row["segment"]: {**row, "at": max(row["at"], until)} for row in steps}
    return pd.DataFrame([*steps, *ends.values()], columns=list(COURSE))
