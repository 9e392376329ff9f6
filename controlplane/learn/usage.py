"""What a call of a tier uses, as it turned out: by how much more it costs than its terms have it.

Terms state the tokens of a usual call. Measured against what the calls of all queries, and of each
category, used: a category's factor leans on that of all by ``SHRUNK`` calls, and what was used
fades. Tokens are kept, not money, so that a new price needs no learning.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from controlplane.observations import Used
from dataplane.contract.rule import Array
from dataplane.contract.terms import TierTerms
from dataplane.features import CATEGORIES, Features

HALF_LIFE = 5_000.0  # of a call, in queries
SHRUNK = 20.0  # calls of all categories that weigh as much as a category's own
ENOUGH = 20.0  # calls before any factor is told
DIGITS = 3


class TierUsage:
    """Sums over the calls of one tier, by category (CATEGORIES + 1, 4).

    Columns: calls, characters of their prompts, prompt tokens, completion tokens.
    """

    def __init__(self) -> None:
        self.sums = np.zeros((CATEGORIES + 1, 4))

    def saw(self, features: Features, used: Used) -> None:
        """One call."""
        self.sums[features.category] += 1.0, features.chars, *used

    def fade(self, queries: int) -> None:
        """So many queries later."""
        self.sums *= 2.0 ** (-queries / HALF_LIFE)

    def told(self, terms: TierTerms) -> TierTerms:
        """The terms, with factors where there is something to tell."""
        calls, chars = self.sums[:, 0], self.sums[:, 1]
        plain = terms.replaced(cost_factor=1.0, category_factors=())
        if calls.sum() < ENOUGH:
            return plain
        stated = calls * plain.expected_cost_usd(np.divide(chars, np.maximum(calls, 1e-9)))
        prices = np.array([terms.input_usd_per_mtok, terms.output_usd_per_mtok])
        used = self.sums[:, 2:] @ prices / 1e6
        if not stated.sum() > 0 or not used.sum() > 0:
            return plain
        factor = round(float(used.sum() / stated.sum()), DIGITS)
        usual = SHRUNK * stated.sum() / calls.sum()
        factors = (used + usual * factor) / (stated + usual)
        return plain.replaced(cost_factor=factor, category_factors=_parting(factors, factor))

    def state(self) -> list[list[float]]:
        """As JSON values: the place of each category with calls, and its sums."""
        return [[int(at), *self.sums[at].tolist()] for at in np.flatnonzero(self.sums[:, 0])]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        """Inverse of ``state``."""
        for at, *sums in state:
            self.sums[int(at)] = sums


def _parting(factors: Array, usual: float) -> tuple[tuple[int, float], ...]:
    """Those of the categories whose factor is another than the usual one."""
    rounded = [(at, round(float(each), DIGITS)) for at, each in enumerate(factors.tolist())]
    return tuple((at, each) for at, each in rounded[1:] if each != usual)


class Usage:
    """That of all tiers, by name."""

    def __init__(self) -> None:
        self._tiers: dict[str, TierUsage] = {}

    def saw(self, features: Features, used: Mapping[str, Used]) -> None:
        """Calls of one query, by tier."""
        for tier, tokens in used.items():
            self._tiers.setdefault(tier, TierUsage()).saw(features, tokens)

    def fade(self, queries: int) -> None:
        """So many queries later."""
        for each in self._tiers.values():
            each.fade(queries)

    def told(self, tiers: Sequence[TierTerms]) -> tuple[TierTerms, ...]:
        """The terms of these tiers with what is known of their use."""
        return tuple(self._tiers.get(each.name, TierUsage()).told(each) for each in tiers)

    def state(self) -> dict[str, Any]:
        """As JSON values, whichever tier was called first."""
        return {tier: self._tiers[tier].state() for tier in sorted(self._tiers)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of ``state``."""
        for tier, each in state.items():
            self._tiers[tier] = TierUsage()
            self._tiers[tier].restore(each)
