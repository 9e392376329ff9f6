"""Figures of the judge: what the last report says of it, and how it fared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from dashboard.filters import Filters
from dashboard.period import width
from dashboard.store import Store
from dashboard.units import share, usd

STANDINGS = {
    "closed": "on trial",
    "earned": "earned its say",
    "open": "trusted",
}
MEANINGS = {
    "closed": "it decides nothing until labels show that it pays",
    "earned": "it waits for an operator's yes",
    "open": "its scores decide what escalates",
}
BINS = ("labels", "predicted", "right_share", "right_share_lo", "right_share_hi")
ROC = ("cutoff", "wrong_accepted", "right_accepted")
SCORES = ("low", "high", "right_labels", "wrong_labels", "right_share", "wrong_share")
HOURS = (
    "at", "labels", "auroc", "auroc_lo", "auroc_hi", "wrong_accepted", "wrong_accepted_lo",
    "wrong_accepted_hi",
)  # fmt: skip
STRETCHES = (
    "at", "until", *HOURS[1:], "calibration_error", "calibration_error_lo", "calibration_error_hi",
)  # fmt: skip
CHANGES = ("at", "kind", "standing", "reason")
EDGE = 1e-9  # within which a bin begins at the cutoff


@dataclass(frozen=True, slots=True)
class Figures:
    """One segment's judge; ``report`` is None before the first one.

    Frames are of the last report, but for ``hours`` and ``changes``, which are of the period;
    ``hours`` has at most ``POINTS`` of its reports.
    ``waiting``: drawn queries of the period by the status of their label.
    """

    now: datetime
    report: Mapping[str, Any] | None
    reports: Sequence[Mapping[str, Any]]
    waiting: Mapping[str, int]
    bins: pd.DataFrame
    roc: pd.DataFrame
    scores: pd.DataFrame
    stretches: pd.DataFrame
    hours: pd.DataFrame
    changes: pd.DataFrame
    simulated: Sequence[str]

    @property
    def known(self) -> bool:
        """Whether there are labels enough for figures."""
        return self.report is not None and self.report["auroc"] is not None

    @property
    def inside(self) -> bool:
        """Whether the cutoff lies among the scores: else it stands for always or never."""
        if self.report is None or self.scores.empty:
            return False
        cutoff = self.report["cutoff"]
        return bool(self.scores["low"].min() < cutoff < self.scores["high"].max())


def read(store: Store, filters: Filters) -> Figures:
    """The figures of the chosen segment, or of the first."""
    now = store.row("now")["now"]
    since = filters.since(now)
    reports = store.rows("judge_reports")
    report = next((each for each in reports if filters.segment in (None, each["segment"])), None)
    segment = report["segment"] if report else filters.segment
    of = {
        "at": report and report["at"],
        "segment": segment,
        "judge": report and report["judge"],
        "since": since,
        "width": width(filters.span),
    }
    return Figures(
        now=now,
        report=report,
        reports=reports,
        waiting={row["status"]: row["tasks"] for row in store.rows("judge_waiting", **of)},
        bins=pd.DataFrame(store.rows("judge_bins", **of), columns=list(BINS)),
        roc=pd.DataFrame(store.rows("judge_roc", **of), columns=list(ROC)),
        scores=pd.DataFrame(store.rows("judge_scores", **of), columns=list(SCORES)),
        stretches=pd.DataFrame(store.rows("judge_stretches", **of), columns=list(STRETCHES)),
        hours=pd.DataFrame(store.rows("judge_hours", **of), columns=list(HOURS)),
        changes=pd.DataFrame(store.rows("judge_changes", **of), columns=list(CHANGES)),
        simulated=[row["name"] for row in store.rows("simulated", since=since)],
    )


def confusion(report: Mapping[str, Any], scores: pd.DataFrame) -> pd.DataFrame:
    """Right and wrong answers, accepted and escalated: labels (NaN if not kept), share, lo, hi.

    A share is of the right, or of the wrong, answers; counts are of labels as they are, shares
    weigh each by what it stands for.
    """
    rows = []
    accepted = scores["low"] >= report["cutoff"] - EDGE
    for answer in ("right", "wrong"):
        labels = scores[f"{answer}_labels"]
        ends = [report[f"{answer}_accepted{end}"] for end in ("", "_lo", "_hi")]
        for verdict, taken in (("accepted", accepted), ("escalated", ~accepted)):
            share, lo, hi = ends if verdict == "accepted" else [1 - ends[i] for i in (0, 2, 1)]
            count = float(labels[taken].sum()) if len(scores) else float("nan")
            rows.append((answer, verdict, count, share, lo, hi))
    return pd.DataFrame(rows, columns=["answer", "verdict", "labels", "share", "lo", "hi"])


def within(report: Mapping[str, Any], name: str, digits: int = 1) -> str:
    """The interval of a share.

    >>> within({"a_lo": 0.1, "a_hi": 0.2}, "a")
    '10.0 to 20.0 %'
    """
    return f"{100 * report[f'{name}_lo']:.{digits}f} to {share(report[f'{name}_hi'], digits)}"


def checks(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else is known of the judge, each with its name, in words."""
    told = [
        ("Null-answer canaries", _canaries(report)),
        ("Position bias", report["position_bias"] or "not known yet"),
        ("Cost of a verdict", _cost(report)),
        ("Kinship", report["warning"] or "no tier's model is of its family, by name"),
        ("Certificate", _certificate(report)),
    ]
    if report["auroc"] is not None:
        error = report["calibration_error"]
        said = f"{100 * error:.1f} points ({within(report, 'calibration_error')}); "
        brier = f"Brier score {report['brier']:.3f}, of which 0 would be perfect"
        told.insert(0, ("Calibration error", f"{said}{brier}"))
    return told


def _canaries(report: Mapping[str, Any]) -> str:
    if report["canaries_reason"]:
        return str(report["canaries_reason"])
    if not report["canaries"]:
        return "none was asked yet: they ride with audits"
    accepted = share(report["canaries_accepted"], 1)
    return (
        f"{accepted} of {report['canaries']:,} answers that say nothing were accepted "
        f"({within(report, 'canaries_accepted')})"
    )


def _cost(report: Mapping[str, Any]) -> str:
    mean = usd(report["verdict_usd"])
    if not report["calls"]:
        return f"{mean}, as the policy states"
    ends = f"{usd(report['verdict_usd_lo'])} to {usd(report['verdict_usd_hi'])}"
    return f"{mean} ({ends}), by {report['calls']:,} calls"


def _certificate(report: Mapping[str, Any]) -> str:
    if report["certified_score"] is None:
        return "none: no cutoff is certified"
    risk = share(report["certified_risk"], 1)
    return f"scores from {report['certified_score']:.3f} up, wrong acceptances at most {risk}"
