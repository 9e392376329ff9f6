"""What a recording would have cost without a learner: one tier, chance, or perfect foresight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.evaluate.replay import Row
from dataplane.contract.rule import Array


@dataclass(frozen=True, slots=True)
class Assignment:
    """A way to serve N queries: quality and cost of each, (N,), or their means over chance."""

    quality: Array
    cost_usd: Array


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Both tiers' recorded answers to N queries."""

    local: Assignment
    cloud: Assignment

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Outcomes":
        """The rows as arrays."""
        table = np.array([(r.local, r.local_usd, r.cloud, r.cloud_usd) for r in rows]).T
        return cls(Assignment(table[0], table[1]), Assignment(table[2], table[3]))

    def mixed(self, share: float | Array) -> Assignment:
        """The cloud serves this share of each query, or of all."""
        return Assignment(
            self.local.quality + share * (self.cloud.quality - self.local.quality),
            self.local.cost_usd + share * (self.cloud.cost_usd - self.local.cost_usd),
        )


def random_mix(outcomes: Outcomes, target: float) -> Assignment:
    """As few queries to the cloud, blindly, as reach the target on average; all if none do."""
    local = float(outcomes.local.quality.mean())
    gap = float(outcomes.cloud.quality.mean()) - local
    share = min(max((target - local) / gap, 0.0), 1.0) if gap > 0 else 0.0
    return outcomes.mixed(share)


def oracle(outcomes: Outcomes, target: float) -> Assignment:
    """The cheapest assignment that reaches the target, every answer known beforehand.

    Each query starts at its cheaper answer; then those are bettered that gain the most quality a
    dollar. With outcomes of 0 and 1 no assignment is cheaper; with others it is at most one query
    from the cheapest. Out of reach, it is the best there is.
    """
    gain = outcomes.cloud.quality - outcomes.local.quality
    price = outcomes.cloud.cost_usd - outcomes.local.cost_usd
    starts_cloud = (price < 0) | ((price == 0) & (gain > 0))
    gain, price = np.where(starts_cloud, -gain, gain), np.abs(price)
    start = outcomes.mixed(starts_cloud.astype(np.float64))
    better = np.flatnonzero(gain > 0)
    ranked = better[np.argsort(price[better] / gain[better], kind="stable")]
    short = target * len(gain) - float(start.quality.sum()) - 1e-9
    needed = int(np.searchsorted(np.cumsum(gain[ranked]), short)) + 1 if short > 0 else 0
    switched = starts_cloud.copy()
    switched[ranked[:needed]] ^= True
    return outcomes.mixed(switched.astype(np.float64))
