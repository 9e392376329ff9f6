"""What labels say of a judge: its rates at a cutoff, its ranking, its calibration, and over time.

Design-based like the served quality: each labelled local answer stands for as many as one over
the logged probability with which its label came to be asked for, whichever tier was served in the
end. An answer is right if its label is at least one half.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from controlplane.audit.judge_checks import Checks
from controlplane.audit.score_bins import ScoreBin, score_bins
from controlplane.stats import (
    Calibration,
    Confusion,
    Interval,
    auroc,
    brier,
    calibration_error,
    confusion,
    roc_curve,
)
from controlplane.stats.rates import Array, Mask

LEAST = 30  # right, and wrong, answers below which a figure is noise and is not shown
PERIODS = 8  # at most, over time
POINTS = 50  # of a ROC curve, at most


@dataclass(frozen=True, slots=True, eq=False)
class Graded:
    """Labelled local answers with their scores, oldest first; columns (n,).

    ``at``: seconds since 1970. ``expected``: P(right) given the query and its score, as the policy
    had it that served the query. ``probability``: of the label having been asked for.
    """

    at: Array
    score: Array
    expected: Array
    right: Mask
    probability: Array

    def __len__(self) -> int:
        return len(self.at)

    def part(self, rows: slice) -> "Graded":
        """Some of them."""
        told = self.at[rows], self.score[rows], self.expected[rows]
        return Graded(*told, self.right[rows], self.probability[rows])

    @property
    def rarer(self) -> int:
        """How many there are of the rarer kind, right or wrong."""
        return int(min(self.right.sum(), (~self.right).sum()))


@dataclass(frozen=True, slots=True)
class Period:
    """A judge between two labels."""

    since: datetime
    until: datetime
    labels: int
    auroc: Interval
    confusion: Confusion
    calibration_error: Interval


@dataclass(frozen=True, slots=True)
class RocPoint:
    """Shares of wrong and of right answers accepted at a cutoff."""

    cutoff: float
    fpr: float
    tpr: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """All of it at one cutoff."""

    auroc: Interval
    confusion: Confusion
    brier: Interval
    calibration: Calibration
    roc: tuple[RocPoint, ...]
    periods: tuple[Period, ...]
    scores: tuple[ScoreBin, ...]


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """``accuracy`` is None while ``missing`` labels of the rarer kind are wanted."""

    judge: str
    segment: str
    cutoff: float
    labels: int
    right: int
    missing: int
    accuracy: Accuracy | None
    checks: Checks | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        body = asdict(self)
        for period in (body["accuracy"] or {"periods": ()})["periods"]:
            period["since"] = period["since"].isoformat()
            period["until"] = period["until"].isoformat()
        return body


def report(
    judge: str, segment: str, graded: Graded, cutoff: float, confidence: float = 0.95
) -> JudgeReport:
    """The judge at a raw ``cutoff``, at or above which it accepts."""
    missing = max(0, LEAST - graded.rarer)
    known = None if missing else _accuracy(graded, cutoff, confidence)
    right = int(graded.right.sum())
    return JudgeReport(judge, segment, cutoff, len(graded), right, missing, known)


def _accuracy(graded: Graded, cutoff: float, confidence: float) -> Accuracy:
    score, right, chance = graded.score, graded.right, graded.probability
    return Accuracy(
        auroc(score, right, chance, confidence),
        confusion(score, right, chance, cutoff, confidence),
        brier(graded.expected, right, chance, confidence),
        calibration_error(graded.expected, right, chance, confidence),
        _points(graded),
        tuple(_periods(graded, cutoff, confidence)),
        score_bins(score, right, chance, cutoff),
    )


def _points(graded: Graded) -> tuple[RocPoint, ...]:
    curve = roc_curve(graded.score, graded.right, graded.probability)
    last = len(curve.cutoff) - 1
    kept = np.unique(np.linspace(1, last, min(POINTS, last)).round().astype(np.intp))
    columns = (curve.cutoff, curve.fpr, curve.tpr)
    return tuple(RocPoint(*(float(each[at]) for each in columns)) for at in kept)


def _periods(graded: Graded, cutoff: float, confidence: float) -> Iterator[Period]:
    """As many as have enough of the rarer kind each, of equal numbers of labels."""
    for count in range(min(PERIODS, graded.rarer // LEAST), 0, -1):
        edges = np.linspace(0, len(graded), count + 1).round().astype(np.intp)
        parts = [graded.part(slice(a, b)) for a, b in pairwise(edges)]
        if all(each.rarer >= LEAST for each in parts):
            yield from (_period(each, cutoff, confidence) for each in parts)
            return


def _period(graded: Graded, cutoff: float, confidence: float) -> Period:
    score, right, chance = graded.score, graded.right, graded.probability
    return Period(
        datetime.fromtimestamp(graded.at[0], UTC),
        datetime.fromtimestamp(graded.at[-1], UTC),
        len(graded),
        auroc(score, right, chance, confidence),
        confusion(score, right, chance, cutoff, confidence),
        calibration_error(graded.expected, right, chance, confidence).error,
    )
