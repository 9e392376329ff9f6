"""What a recording would have cost without a learner: one tier, chance, or hindsight."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from controlplane.evaluate.replay import Row
from dataplane.contract.rule import Array, Places


@dataclass(frozen=True, slots=True)
class Assignment:
    """A way to serve N queries: quality and cost of each, (N,), or their means over chance."""

    quality: Array
    cost_usd: Array


@dataclass(frozen=True, slots=True)
class Outcomes:
    """All tiers' recorded answers to N queries: worth and cost of each, (N, tiers)."""

    quality: Array
    cost_usd: Array

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Outcomes":
        """The rows as arrays."""
        return cls(np.array([row.worth for row in rows]), np.array([row.usd for row in rows]))

    def always(self, tier: int) -> Assignment:
        """The tier of that place serves all queries."""
        return Assignment(self.quality[:, tier], self.cost_usd[:, tier])

    def served(self, tiers: Places) -> Assignment:
        """Each query is served by the tier whose place (N,) stands there."""
        rows = np.arange(len(tiers))
        return Assignment(self.quality[rows, tiers], self.cost_usd[rows, tiers])

    def mixed(self, shares: Array) -> Assignment:
        """Each tier serves its share (tiers,) of each query."""
        return Assignment(self.quality @ shares, self.cost_usd @ shares)


def random_mix(outcomes: Outcomes, target: float) -> Assignment:
    """The cheapest blind mixture that reaches the target on average: two tiers suffice.

    Out of reach, it is the best tier.
    """
    quality, cost = outcomes.quality.mean(axis=0), outcomes.cost_usd.mean(axis=0)
    reached = min(target, float(quality.max()))
    mixes = [_mix(quality, low, high, reached) for low, high in product(range(len(cost)), repeat=2)]
    enough = [shares for shares in mixes if shares @ quality >= reached - 1e-12]
    return outcomes.mixed(min(enough, key=lambda shares: float(shares @ cost)))


def _mix(quality: Array, low: int, high: int, target: float) -> Array:
    """As little of ``high`` beside ``low`` as reaches the target."""
    gap = quality[high] - quality[low]
    share = np.clip((target - quality[low]) / gap, 0, 1) if gap > 0 else 0.0
    shares = np.zeros(len(quality))
    shares[low] = 1 - share
    shares[high] += share
    return shares


def category_mean(outcomes: Outcomes, categories: Places, target: float) -> Assignment:
    """One tier a category (N,), as its means tell in hindsight: the cheapest that reach the target.

    Whole categories are bettered, those first that gain the most quality a dollar.
    """
    sums = np.zeros((2, int(categories.max()) + 1, outcomes.quality.shape[1]))
    np.add.at(sums[0], categories, outcomes.quality)
    np.add.at(sums[1], categories, outcomes.cost_usd)
    tiers = cheapest(sums[0], sums[1], target * len(categories))
    return outcomes.served(tiers[categories])


def oracle(outcomes: Outcomes, target: float) -> Assignment:
    """The cheapest assignment that reaches the target, every answer known beforehand.

    With outcomes of 0 and 1 no assignment is cheaper; with others it is at most one query from the
    cheapest. Out of reach, it is the best there is.
    """
    needed = target * len(outcomes.quality)
    return outcomes.served(cheapest(outcomes.quality, outcomes.cost_usd, needed))


def cheapest(quality: Array, cost: Array, needed: float) -> Places:
    """The tier of each row (M,) so that qualities (M, tiers) sum to what is needed, cheaply.

    Each row starts at its cheapest tier and climbs its concave hull; of all climbs those are made
    first that gain the most quality a dollar.
    """
    rows = np.arange(len(quality))
    taken = np.lexsort((-quality, cost), axis=-1)[:, 0]
    short = needed - float(quality[rows, taken].sum()) - 1e-9
    worth, gained, tiers = _climbs(quality, cost, taken)
    ranked = np.argsort(-worth.ravel(), kind="stable")[: np.count_nonzero(worth)]
    made = np.searchsorted(np.cumsum(gained.ravel()[ranked]), short) + 1 if short > 0 else 0
    for climb in ranked[:made]:  # those of a row come in their order
        taken[climb % len(rows)] = tiers.ravel()[climb]
    return taken


def _climbs(quality: Array, cost: Array, start: Places) -> tuple[Array, Array, Places]:
    """Each row's climbs from ``start``, steepest first: worth, gain and tier (tiers - 1, M).

    A climb that is worth nothing is none.
    """
    rows, at = np.arange(len(quality)), start
    worth, gained = (np.zeros((quality.shape[1] - 1, len(rows))) for _ in range(2))
    tiers = np.zeros(worth.shape, dtype=np.intp)
    for climb in range(len(worth)):
        gain = quality - quality[rows, at][:, None]
        price = cost - cost[rows, at][:, None]
        steep = np.where(gain > 0, gain / np.maximum(price, 1e-300), 0.0)
        at = np.where(steep.max(axis=1) > 0, steep.argmax(axis=1), at)
        worth[climb], gained[climb], tiers[climb] = steep[rows, at], gain[rows, at], at
    return worth, gained, tiers
