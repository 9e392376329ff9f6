"""Figures of quality and cost: the frontier that the control plane computed last, and its past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from dashboard.filters import Filters
from dashboard.store import Store

POINTS = (
    "at", "kind", "name", "policy_version", "queries", "since", "until", "quality", "quality_lo",
    "quality_hi", "usd", "usd_lo", "usd_hi", "labels", "method", "refused",
)  # fmt: skip
COURSE = (
    "at", "labels", "quality", "quality_lo", "quality_hi", "usd", "usd_lo", "usd_hi",
)  # fmt: skip
COSTS = ("usd", "usd_lo", "usd_hi")
QUALITIES = ("quality", "quality_lo", "quality_hi")
ENDS = ("always_local", "always_cloud")
KINDS = {
    "served": "as served",
    "live": "live policy",
    "candidate": "candidate",
    "version": "earlier version",
    "baseline": "baseline",
    "category": "per-category mean",
    "segment": "per-segment mean",
    "arm": "modelled arm",
}
METHODS = {
    "served": "measured: labels of what it served",
    "dr": "off-policy: labels that count for it, doubly robust",
    "snips": "off-policy: labels that count for it, self-normalised",
    "model": "modelled: the learner's estimate, never served as such",
}


@dataclass(frozen=True, slots=True)
class Mix:
    """A coin between the two ends, beside what was served.

    ``usd``: what it would pay for the quality that was served, per 1,000 queries. ``gain``: by how
    much what was served is better than the coin that costs the same, within ``lo`` to ``hi``, which
    suppose that all errors are at their worst together.
    """

    usd: float
    gain: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Costs are USD per 1,000 queries. ``points``: one row a way to serve; ``course``: over time.

    ``live`` is the live policy's objective, None before the first policy.
    """

    now: datetime
    live: Mapping[str, Any] | None
    points: pd.DataFrame
    course: pd.DataFrame
    simulated: Sequence[str]

    @property
    def at(self) -> datetime | None:
        """When the frontier was computed."""
        return None if self.points.empty else self.points["at"].iloc[0].to_pydatetime()

    def point(self, kind: str, name: str | None = None) -> pd.Series | None:
        """The first of its kind, if there is one."""
        rows = self.points[self.points["kind"] == kind]
        rows = rows if name is None else rows[rows["name"] == name]
        return None if rows.empty else rows.iloc[0]

    @property
    def measured(self) -> pd.DataFrame:
        """What labels tell of."""
        points = self.points
        return points[(points["kind"] != "arm") & points["quality"].notna()]

    @property
    def curve(self) -> pd.DataFrame:
        """The learner's arms between the ends, cheapest first."""
        points = self.points
        arms = (points["kind"] == "arm") & ~points["name"].isin(ENDS) & points["quality"].notna()
        return points[arms].sort_values("usd")

    @property
    def live_arm(self) -> pd.DataFrame:
        """The live policy as modelled: a row, or none where labels tell of it by themselves."""
        arms = self.points[(self.points["kind"] == "arm") & self.points["quality"].notna()]
        told = (self.measured["kind"] == "live").any()
        return arms[arms["policy_version"].notna()].iloc[: 0 if told else 1]

    @property
    def ends(self) -> pd.DataFrame:
        """Always-local and always-cloud: as measured, else as modelled; both or none."""
        found = [self._end(name) for name in ENDS]
        known = [each for each in found if each is not None]
        return pd.DataFrame(known if len(known) == len(ENDS) else [], columns=list(POINTS))

    def _end(self, name: str) -> pd.Series | None:
        for kind in ("baseline", "arm"):
            found = self.point(kind, name)
            if found is not None and pd.notna(found["quality"]):
                return found
        return None

    @property
    def floor(self) -> float | None:
        """The share of right answers that is promised, where the objective is such a share."""
        live = self.live
        if live is None or live["target_quality"] is None or live["reference"] != "ground_truth":
            return None
        return float(live["target_quality"] - (live["tolerance"] or 0.0))

    @property
    def mix(self) -> Mix | None:
        """The coin beside what was served; None where one of the three is not known."""
        served, ends = self.point("served"), self.ends
        if served is None or pd.isna(served["quality"]) or ends.empty:
            return None
        local, cloud = ends.iloc[0], ends.iloc[1]
        if not (cloud["quality"] > local["quality"] and cloud["usd"] > local["usd"]):
            return None
        bought = (served["quality"] - local["quality"]) / (cloud["quality"] - local["quality"])
        spent = (served["usd"] - local["usd"]) / (cloud["usd"] - local["usd"])
        paid, share = min(max(bought, 0.0), 1.0), min(max(spent, 0.0), 1.0)
        coin = {
            end: (1 - share) * local[f"quality{end}"] + share * cloud[f"quality{end}"]
            for end in ("", "_lo", "_hi")
        }
        return Mix(
            usd=(1 - paid) * local["usd"] + paid * cloud["usd"],
            gain=served["quality"] - coin[""],
            lo=served["quality_lo"] - coin["_hi"],
            hi=served["quality_hi"] - coin["_lo"],
        )


def read(store: Store, filters: Filters) -> Figures:
    """The last frontier of the chosen segment, or of all, and what served in the period."""
    now = store.row("now")["now"]
    of = {"segment": filters.segment, "since": filters.since(now)}
    return Figures(
        now=now,
        live=next(iter(store.rows("live")), None),
        points=_per_1000(pd.DataFrame(store.rows("frontier", **of), columns=list(POINTS))),
        course=_per_1000(pd.DataFrame(store.rows("frontier_course", **of), columns=list(COURSE))),
        simulated=[row["name"] for row in store.rows("simulated", since=of["since"])],
    )


def _per_1000(rows: pd.DataFrame) -> pd.DataFrame:
    numbers = [*COSTS, *QUALITIES, "labels"]
    rows[numbers] = rows[numbers].astype(float)
    rows[list(COSTS)] *= 1000
    return rows


def told(points: pd.DataFrame) -> pd.DataFrame:
    """The points as a table to be read, what labels tell of first."""
    places = points["kind"].map(list(KINDS).index)
    points = points.assign(place=places).sort_values(["place", "usd"], ignore_index=True)
    return pd.DataFrame(
        {
            "what": points["kind"].map(KINDS),
            "name": points["name"],
            "right (%)": (100 * points["quality"]).round(1),
            "from (%)": (100 * points["quality_lo"]).round(1),
            "to (%)": (100 * points["quality_hi"]).round(1),
            "USD per 1,000": points["usd"].map("{:.4g}".format).astype(float),
            "effective labels": points["labels"].round(0),
            "queries": points["queries"],
            "how it is known": points["method"].map(METHODS),
            "why it is not": points["refused"].fillna(""),
        }
    )
