"""Cost drift: the change of spend between two periods, split exactly into what drove it.

Spend is a sum over cells (segment, tier, purpose) of a product of five factors:

    queries x share of the segment x calls a query x (tokens a call x USD a token + fee a call)

Each factor's effect is its Shapley value: the change that it makes when it moves from its value
before to its value after, averaged over all orders in which the five may move. The effects sum to
the change, do not depend on an order that nobody can justify, and change sign when the periods are
swapped (the Shapley/Sun method of index decomposition: Sun 1998, Energy Economics 20:85; Ang,
Huang and Mu 2009, Energy Policy 37:4624). Its common rival, the logarithmic mean Divisia index,
has logarithms of zeros here: a tier that was never called before.

A factor that a period shows nothing of (the tokens a call of a tier that it never called) is taken
to be as in the other period, so the new calls are all that is new.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial
from typing import Literal, NamedTuple, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Driver: TypeAlias = Literal["volume", "mix", "routing", "tokens", "price", "judging", "shadowing"]
Array: TypeAlias = NDArray[np.float64]

DRIVERS: tuple[Driver, ...] = get_args(Driver)
FACTORS = ("volume", "mix", "calls", "tokens", "price")
CALLS: Mapping[str, Driver] = {  # what it is when there are more calls a query, by purpose
    "serve": "routing",
    "router": "routing",
    "judge": "judging",
    "shadow": "shadowing",
    "audit": "shadowing",
}


class Cell(NamedTuple):
    """Where money is spent."""

    segment: str
    tier: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of a cell in a period: tokens are counts, what they cost is in USD.

    ``fee_usd`` is what is charged by the call and not by the token, as a judge's verdict is.
    """

    calls: float
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    prompt_usd: float = 0.0
    completion_usd: float = 0.0
    fee_usd: float = 0.0

    @property
    def usd(self) -> float:
        """All that they cost."""
        return self.prompt_usd + self.completion_usd + self.fee_usd

    def times(self, factor: float) -> Self:
        """So many times as much of everything."""
        return type(self)(*(factor * getattr(self, name) for name in self.__slots__))

    def plus(self, other: Self) -> Self:
        """Both together."""
        both = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return type(self)(*map(sum, both))


@dataclass(frozen=True, slots=True)
class Period:
    """Queries by segment, and the calls that they led to."""

    queries: Mapping[str, float]
    calls: Mapping[Cell, Calls]

    @property
    def usd(self) -> float:
        """All that was spent."""
        return sum(each.usd for each in self.calls.values())

    def times(self, factor: float) -> Self:
        """As a period of the same kind, so many times as long."""
        queries = {segment: factor * count for segment, count in self.queries.items()}
        calls = {cell: each.times(factor) for cell, each in self.calls.items()}
        return replace(self, queries=queries, calls=calls)

    def plus(self, other: Self) -> Self:
        """Both together."""
        queries = {
            segment: self.queries.get(segment, 0.0) + other.queries.get(segment, 0.0)
            for segment in {*self.queries, *other.queries}
        }
        none = Calls(0.0)
        calls = {
            cell: self.calls.get(cell, none).plus(other.calls.get(cell, none))
            for cell in {*self.calls, *other.calls}
        }
        return replace(self, queries=queries, calls=calls)


@dataclass(frozen=True, slots=True)
class CostDrift:
    """Spend before and after in USD, and by cell what each driver changed of it."""

    before_usd: float
    after_usd: float
    by_cell: Mapping[Cell, Mapping[Driver, float]]

    @property
    def change_usd(self) -> float:
        """What is to be explained."""
        return self.after_usd - self.before_usd

    @property
    def effects(self) -> dict[Driver, float]:
        """By driver, in USD; they sum to the change."""
        return {driver: sum(told[driver] for told in self.by_cell.values()) for driver in DRIVERS}

    def foremost(self, driver: Driver) -> Cell:
        """The cell in which a driver did most of what it did; there must be one."""
        sign = np.sign(self.effects[driver])
        return max(self.by_cell, key=lambda cell: sign * self.by_cell[cell][driver])


def decompose(before: Period, after: Period) -> CostDrift:
    """Split the change of spend; raises ``ValueError`` for calls in a segment without queries."""
    cells = sorted({*before.calls, *after.calls})
    states = [_measured(period, cells) for period in (before, after)]
    known = [[_known(mine, theirs) for mine, theirs in zip(one, other, strict=True)]
             for one, other in (states, states[::-1])]  # fmt: skip
    effects = shapley(known)
    return CostDrift(
        before_usd=before.usd,
        after_usd=after.usd,
        by_cell={
            cell: _named(cell, dict(zip(FACTORS, effects[:, at].tolist(), strict=True)))
            for at, cell in enumerate(cells)
        },
    )


def shapley(states: Sequence[Sequence[Array]]) -> Array:
    """Each factor's Shapley value in the change of their product's sum; factors by cells.

    ``states`` has the factors before and after. A factor is an array of cells, or of cells by
    charges (prompt, completion, fee), over which the product is summed.
    """
    factors = range(len(states[0]))
    effects = np.zeros((len(factors), len(states[0][0])))
    for factor in factors:
        others = [each for each in factors if each != factor]
        for size in range(len(factors)):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(factors))
            for moved in combinations(others, size):
                gain = _usd(states, {*moved, factor}) - _usd(states, set(moved))
                effects[factor] += weight * gain
    return effects


def _usd(states: Sequence[Sequence[Array]], moved: Iterable[int]) -> Array:
    """By cell, with these factors as after and the others as before."""
    chosen = [states[each in moved][each] for each in range(len(states[0]))]
    usd: Array = np.prod(np.stack(chosen), axis=0).sum(axis=-1)
    return usd


def _measured(period: Period, cells: Sequence[Cell]) -> list[Array]:
    """The factors of a period, NaN where it shows nothing of one: cells by charges each."""
    stray = {cell.segment for cell in period.calls} - period.queries.keys()
    if stray:
        raise ValueError(f"segment {min(stray)} has calls and no queries")
    calls = [period.calls.get(cell, Calls(0.0)) for cell in cells]
    counts = _column(each.calls for each in calls)
    queries = _column(period.queries.get(cell.segment, 0.0) for cell in cells)
    total = sum(period.queries.values())
    tokens = np.array([(each.prompt_tokens, each.completion_tokens, each.calls) for each in calls])
    usd = np.array([(each.prompt_usd, each.completion_usd, each.fee_usd) for each in calls])
    tokens, usd = tokens.reshape(-1, 3), usd.reshape(-1, 3)
    whole = np.full_like(queries, total)
    return [
        np.broadcast_to(each, tokens.shape)
        for each in (
            whole,
            _ratio(queries, whole),
            _ratio(counts, queries),
            _ratio(tokens, counts),
            _ratio(usd, tokens),
        )
    ]


def _column(values: Iterable[float]) -> Array:
    return np.array(list(values), dtype=np.float64).reshape(-1, 1)


def _ratio(part: Array, whole: Array) -> Array:
    ratio = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _known(mine: Array, theirs: Array) -> Array:
    """What a period does not show is as in the other, and 0 where neither shows it."""
    return np.nan_to_num(np.where(np.isnan(mine), theirs, mine))


def _named(cell: Cell, effects: Mapping[str, float]) -> dict[Driver, float]:
    calls = CALLS[cell.purpose]
    return {
        driver: effects["calls"] if driver == calls else effects.get(driver, 0.0)
        for driver in DRIVERS
    }
