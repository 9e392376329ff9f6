"""Figures of the policies: what is in force, what came before, who serves what, what is coming."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from dashboard.figures import fleet
from dashboard.figures.fleet import Plane
from dashboard.store import Store
from dashboard.units import latency, share, usd

PUBLICATIONS = 200
EVENTS = 100
STAGES = ("candidate", "shadow", "canary", "live", "settled")
Z = 1.96  # of 95 % intervals


@dataclass(frozen=True, slots=True)
class Publication:
    """What was put in force, by the version of the largest share; ``beside`` in words."""

    seq: int
    published_at: datetime
    version: int
    parent: int | None
    kind: str
    author: str
    reason: str
    policy_reason: str
    share: float
    beside: str


@dataclass(frozen=True, slots=True)
class Figures:
    """``publications`` are the newest ones, the newest first.

    ``events`` is a frame, by column: at, kind, stage, version, reason.
    """

    now: datetime
    publications: Sequence[Publication]
    planes: Sequence[Plane]
    events: pd.DataFrame
    frozen_since: datetime | None

    @property
    def live(self) -> Publication | None:
        """What is in force."""
        return self.publications[0] if self.publications else None

    @property
    def before(self) -> int | None:
        """The version that led before the live one."""
        live = self.live
        if live is None:
            return None
        others = (each.version for each in self.publications if each.version != live.version)
        return next(others, live.parent)


def read(store: Store) -> Figures:
    """All of it, in one snapshot."""
    freeze = store.row_or_none("policies_freeze")
    events = store.rows("policies_events", page=EVENTS)
    return Figures(
        now=store.row("now")["now"],
        publications=publications(store.rows("policies_published", publications=PUBLICATIONS)),
        planes=fleet.read(store),
        events=pd.DataFrame(events, columns=["at", "kind", "stage", "version", "reason"]),
        frozen_since=freeze["since"] if freeze and freeze["frozen"] else None,
    )


def publications(rows: Sequence[Mapping[str, Any]]) -> list[Publication]:
    """One a publication, from its versions' rows."""
    by_seq: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_seq.setdefault(row["seq"], []).append(row)
    return [_publication(parts) for parts in by_seq.values()]


def _publication(parts: Sequence[Mapping[str, Any]]) -> Publication:
    leading = max(parts, key=lambda part: float(part["share"]))
    beside = ", ".join(_beside(part) for part in parts if part is not leading)
    names = ("seq", "published_at", "version", "parent", "kind", "author", "reason", "share")
    said = {name: leading[name] for name in names}
    return Publication(**said, policy_reason=leading["policy_reason"], beside=beside)


def _beside(part: Mapping[str, Any]) -> str:
    version = f"v{part['version']}"
    if part["share"]:
        return f"{version} for {share(part['share'])} of conversations"
    return f"{version} compared on {share(part['draw'])} of what it may serve otherwise"


def answers(planes: Sequence[Plane]) -> pd.DataFrame:
    """What each data plane said last; one that refused goes on with what it served before."""
    return pd.DataFrame(
        [
            {
                "data plane": each.plane,
                "serves": each.kept,
                "standing": each.standing,
                "refused": each.wrong,
                "reason": each.reason or "",
                "behind": each.behind,
                "answered": each.at,
            }
            for each in planes
        ]
    )


def within(published: Sequence[Publication], since: datetime) -> list[Publication]:
    """Those of the period, and the one that was in force when it began; the newest first."""
    later = [each for each in published if each.published_at >= since]
    return [*later, *published[len(later) : len(later) + 1]]


def course(published: Sequence[Publication], since: datetime, until: datetime) -> pd.DataFrame:
    """Which version led when, oldest first, by column: at, until, version, author, kind, reason."""
    ordered = sorted(published, key=lambda each: each.seq)
    ends = [*(each.published_at for each in ordered[1:]), until]
    return pd.DataFrame(
        [
            {
                "at": max(each.published_at, since),
                "until": end,
                "version": each.version,
                "author": each.author,
                "kind": each.kind,
                "reason": each.reason,
            }
            for each, end in zip(ordered, ends, strict=True)
        ],
        columns=["at", "until", "version", "author", "kind", "reason"],
    )


def listed(published: Sequence[Publication]) -> pd.DataFrame:
    """The publications as a table."""
    return pd.DataFrame(
        [
            {
                "number": each.seq,
                "published": each.published_at,
                "version": f"v{each.version}",
                "share": share(each.share),
                "beside it": each.beside,
                "kind": each.kind,
                "by": each.author,
                "why": each.reason,
            }
            for each in published
        ]
    )


# -- the difference between two versions, as the control plane tells it


def change(told: Mapping[str, Any]) -> list[str]:
    """A line a difference; of each segment's one says what is expected of them together."""
    lines = [str(each) for each in told["differences"]]
    for each in told["prospects"]:
        own = [place for place, line in enumerate(lines) if _segment(line) == each["segment"]]
        if own:
            place = min(own, key=lambda at: ("judge cutoff" not in lines[at], at))
            lines[place] += f": expected {prospect(each)}"
    return lines


def _segment(difference: str) -> str | None:
    head, found, _ = difference.partition(": ")
    return head.removeprefix("segment ") if found and head.startswith("segment ") else None


def prospect(each: Mapping[str, Any]) -> str:
    """What a segment's change is expected to bring, in words.

    >>> prospect({"queries": 900, "usd_before": 1.0, "usd_after": 0.96,
    ...           "quality_before": 0.91, "quality_after": 0.909})
    '-4.0 % cost, -0.1 points of quality, on the last 900 queries'
    """
    before, points = each["usd_before"], 100 * (each["quality_after"] - each["quality_before"])
    cost = f"{100 * (each['usd_after'] / before - 1):+.1f} % cost, " if before else ""
    return f"{cost}{points:+.1f} points of quality, on the last {each['queries']:,} queries"


# -- the proposal that is on its way


EVIDENCE = ("pairs", "evidence", "e_value", "at")
SIDES = {"log_for": "for it", "log_against": "against it"}


def evidence(proposal: Mapping[str, Any]) -> pd.DataFrame:
    """Both e-values look by look of this stage, by column: pairs, evidence, e_value, at."""
    looks = [each for each in proposal["looks"] if each["stage"] == proposal["stage"]]
    rows = [
        {
            "pairs": look["pairs"],
            "evidence": SIDES[name],
            "e_value": math.exp(min(max(look[name], -30.0), 50.0)),
            "at": datetime.fromisoformat(look["at"]),
        }
        for look in looks
        for name in SIDES
    ]
    began = [{"pairs": 0, "evidence": said, "e_value": 1.0, "at": None} for said in SIDES.values()]
    return pd.DataFrame([*began, *rows] if rows else [], columns=list(EVIDENCE))


def health(canary: Mapping[str, Any]) -> pd.DataFrame:
    """A canary beside the live policy: errors, latency, cost, each with its 95 % interval."""
    measures = (
        ("queries", lambda each: f"{each['queries']:,}"),
        ("failed", lambda each: _with_error(each["failed"], each["failed_error"], share)),
        ("latency (geometric mean)", _latency),
        ("cost a query", lambda each: _with_error(each["usd"], each["usd_error"], usd)),
    )
    return pd.DataFrame(
        [
            {"measure": name, "canary": tell(canary["canary"]), "live": tell(canary["live"])}
            for name, tell in measures
        ]
    )


def _with_error(mean: float | None, error: float | None, tell: Any) -> str:
    if mean is None:
        return "none yet"
    if error is None:
        return str(tell(mean))
    low, high = max(mean - Z * error, 0.0), mean + Z * error
    return f"{tell(mean)} ({tell(low)} to {tell(high)})"


def _latency(each: Mapping[str, Any]) -> str:
    mean, error = each["latency_ms"], each["log_latency_error"]
    if mean is None or error is None:
        return latency(mean)
    reach = math.exp(Z * error)
    return f"{latency(mean)} ({latency(mean / reach)} to {latency(mean * reach)})"


def moves(stage: str) -> Iterator[tuple[str, str]]:
    """What an operator may do with a proposal of this stage: to which to move it, and what that is
    called.
    """
    if stage in ("candidate", "shadow", "canary"):
        yield "live", "Promote"
        yield "refused", "Refuse"
    elif stage in ("live", "settled"):
        yield "rolled_back", "Roll back"
