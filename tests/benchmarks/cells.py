"""Trials in named cells, and the figures of many cells: shares with exact intervals."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from controlplane.stats import Interval, clopper_pearson
from dataplane.contract.rule import Array
from tests.benchmarks.figure import Figure
from tests.coverage import within

RESAMPLES = 400

Rng: TypeAlias = np.random.Generator
Outcome: TypeAlias = tuple[str, bool, float]  # the cell, whether it held, and an amount
Trial: TypeAlias = Callable[[Rng], Iterable[Outcome]]


@dataclass(frozen=True, slots=True)
class Cell:
    """Of each trial in turn: whether the claim held, and how wide, or how much, it was."""

    held: list[bool] = field(default_factory=list)
    amount: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the trials in which the claim held."""
        return float(np.mean(self.held))

    @property
    def amounts(self) -> Array:
        """(trials,)."""
        return np.array(self.amount)


class Cells(defaultdict[str, Cell]):
    """Cells by ``group/name``."""

    def __init__(self) -> None:
        super().__init__(Cell)

    def run(self, trials: Iterable[Trial], times: int, seed: int) -> None:
        """Each kind of trial so many times, on random numbers of its own."""
        for place, trial in enumerate(trials):
            rng = np.random.default_rng([seed, place])
            for _ in range(times):
                for name, held, amount in trial(rng):
                    self[name].held.append(held)
                    self[name].amount.append(amount)

    def within(self, *groups: str) -> dict[str, Cell]:
        """The cells of these groups."""
        return {name: cell for name, cell in self.items() if name.partition("/")[0] in groups}


def checked(name: str, interval: Interval, truth: float) -> Outcome:
    """Whether an interval covers the truth, and its width."""
    return name, within(interval, truth), interval.high - interval.low


def extreme(cells: Iterable[Cell], better: str, *, missed: bool = False) -> Figure:
    """The least share over cells where more is better, the greatest where less is.

    The interval is for the extreme of the true shares: Clopper and Pearson's for each cell, at a
    confidence that all of them together have. ``missed`` counts the trials that did not hold.
    """
    every = list(cells)
    intervals = [_exact(each.held, missed, 1 - 0.05 / len(every)) for each in every]
    pick = min if better == "higher" else max
    worst = pick(range(len(every)), key=lambda at: intervals[at].estimate)
    low, high = (pick(getattr(each, end) for each in intervals) for end in ("low", "high"))
    return Figure(intervals[worst].estimate, "fraction", better, low, high, len(every[worst].held))


def share(cell: Cell, better: str, *, missed: bool = False) -> Figure:
    """Of one cell."""
    return extreme([cell], better, missed=missed)


def _exact(held: Sequence[bool], missed: bool, confidence: float) -> Interval:
    hits = len(held) - sum(held) if missed else sum(held)
    return clopper_pearson(hits, len(held), confidence)


def resampled(
    cells: Sequence[Cell], statistic: Callable[[list[Array]], float], unit: str, better: str
) -> Figure:
    """A statistic of the amounts of cells of the same trials; a bootstrap over trials."""
    amounts = [cell.amounts for cell in cells]
    n, rng = len(amounts[0]), np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        places = rng.integers(n, size=n)
        drawn.append(statistic([each[places] for each in amounts]))
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return Figure(statistic(amounts), unit, better, float(low), float(high), n)


def worth(widths: Sequence[Array]) -> float:
    """Labels that one label replaces: width falls with the root of their number."""
    plain, controlled = widths
    return float((plain**2).mean() / (controlled**2).mean())


def least_worth(pairs: Sequence[tuple[Cell, Cell]]) -> Figure:
    """Of (Wilson's, controlled) cells, that with the least worth of a label."""
    found = [resampled(pair, worth, "ratio", "higher") for pair in pairs]
    return min(found, key=lambda each: each.value)


def table(cells: Iterable[tuple[str, Cell]]) -> str:
    """Every cell as Markdown."""
    lines = ["| cell | share | mean width or amount | trials |", "|---|---|---|---|"]
    for name, cell in cells:
        lines.append(
            f"| {name} | {cell.share:.4f} | {np.mean(cell.amount):.4f} | {len(cell.held)} |"
        )
    return "\n".join(lines)
