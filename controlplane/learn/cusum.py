"""Whether labels are as expected: a risk-adjusted CUSUM for each tier, on labels of its answers.

Each label adds the log-likelihood ratio of the odds of a right answer having changed by a factor,
to their being as the last draft had them for that query and score; a sum starts anew where it would
fall below 0 (Steiner, Cook, Farewell and Treasure, Monitoring surgical performance using
risk-adjusted cumulative sum charts, Biostatistics 1, 2000). What is expected is conditional on all
that a policy chooses by, so it does not matter which answers were labelled.
"""

from collections.abc import Sequence
from math import log
from typing import Any, TypeAlias

import numpy as np

from controlplane.learn.evidence import Record
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Frozen, JudgeTable, SegmentPolicy

ODDS = 2.0  # of a right answer: what is looked for is half of them, or twice as many
LIMIT = 7.0  # log-likelihood ratio that raises an alarm

Sum: TypeAlias = tuple[float, int]  # and since when it is above 0


class Expectation(Frozen):
    """What a draft believed of the answers to a query."""

    segment: SegmentPolicy
    judge: JudgeTable

    def right(self, p_hat: Sequence[float], score: float | None) -> list[float]:
        """P(right) of each tier, given the judge's score where there is one."""
        beliefs = self.segment.beliefs(self.judge, np.array(p_hat))
        k = None if score is None else self.judge.bin(score)
        return [float(each) for each in rule.right(beliefs, k)]


class Cusum:
    """Two sums, for odds that fell and odds that rose. Places ``at`` count observations."""

    def __init__(self, sums: tuple[Sum, Sum] = ((0.0, 0), (0.0, 0))) -> None:
        self.sums = sums

    def update(self, expected: float, right: float, at: int) -> int | None:
        """Since when the odds are others, if this label raises an alarm; it then starts afresh."""
        down, up = (
            _added(each, log_ratio(expected, right, odds), at)
            for each, odds in zip(self.sums, (1 / ODDS, ODDS), strict=True)
        )
        self.sums = down, up
        most, since = max(self.sums)
        if most < LIMIT:
            return None
        self.sums = (0.0, 0), (0.0, 0)
        return since


def log_ratio(expected: float, right: float, odds: float) -> float:
    """Log-likelihood ratio, after one label, of odds changed by a factor to those expected.

    >>> round(log_ratio(0.5, 1.0, 0.5), 3), round(log_ratio(0.5, 0.0, 0.5), 3)
    (-0.405, 0.288)
    """
    return right * log(odds) - log(1 - expected + odds * expected)


def _added(sum_: Sum, ratio: float, at: int) -> Sum:
    value, since = sum_
    return max(value + ratio, 0.0), since if value > 0 else at


class LabelCharts:
    """The sums of the tiers of which enough is known; a draft says what is expected of a label."""

    def __init__(self) -> None:
        self._expected: Expectation | None = None
        self._charts: list[Cusum | None] = []

    def expect(self, draft: PolicyDocument, known: Sequence[bool]) -> None:
        """From here on, what this draft believes of the tiers that are ``known``, one entry each.

        Of the others nothing is expected.
        """
        self._expected = Expectation(segment=draft.segments[0], judge=draft.judge)
        if len(self._charts) != len(known):
            self._charts = [None] * len(known)
        charts = zip(self._charts, known, strict=True)
        self._charts = [(chart or Cusum()) if good else None for chart, good in charts]

    def see(self, record: Record, p_hat: Sequence[float], at: int) -> int | None:
        """Since when some tier's labels are others than expected, if this record says so.

        ``p_hat``: of each tier, before it learned of them.
        """
        if self._expected is None:
            return None
        expected = self._expected.right(p_hat, record.score)
        told = zip(self._charts, expected, record.right, strict=True)
        alarms = [
            chart.update(expected, right, at)
            for chart, expected, right in told
            if chart is not None and right is not None
        ]
        return min((since for since in alarms if since is not None), default=None)

    def restart(self) -> None:
        """Nothing is expected until the next draft."""
        self._expected, self._charts = None, []

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        expected = self._expected and self._expected.model_dump(mode="json")
        return {"expected": expected, "sums": [each and each.sums for each in self._charts]}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        self._expected = state["expected"] and Expectation(**state["expected"])
        self._charts = [each and Cusum(_sums(each)) for each in state["sums"]]


def _sums(state: Sequence[Sequence[Any]]) -> tuple[Sum, Sum]:
    (fallen, below), (risen, above) = state
    return (fallen, below), (risen, above)
