"""What calls are charged against the prices of before: a change of price, and no other of cost.

Tokens come from the calls themselves, so that neither longer answers nor another policy are taken
for one. It needs no test: a price is a number, and only a few calls are waited for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np

from controlplane.observations import Observation
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import TierTerms

CALLS = 21  # of a tier, whose median ratio is taken: an odd number, so that it is one of them
CHANGED = 0.02  # the least change of a price that is told

Ratios: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Repriced:
    """Calls of a tier are charged ``factor`` times what they were; ``stated``: by how much the
    prices in the policy changed.
    """

    tier: str
    factor: float
    stated: float

    @property
    def words(self) -> str:
        """Told to a person."""
        said = f"calls of {self.tier} are charged {self.factor:.3g} times what they were"
        if abs(self.stated / self.factor - 1) < CHANGED:
            return f"{said}, as the policy's prices now have it"
        return f"{said}, but {self.stated:.3g} times by the policy's prices: state the new price"


@dataclass
class Prices:
    """By tier: the first terms, and the ratios to what a call costs by them of what it was charged
    and of what it costs by the live policy: the usual ones, and recent ones.
    """

    terms: dict[str, TierTerms] = field(default_factory=dict)
    usual: dict[str, Ratios] = field(default_factory=dict)
    recent: dict[str, list[Ratios]] = field(default_factory=dict)

    def review(self, live: PolicyDocument, observed: Iterable[Observation]) -> list[Repriced]:
        """Take in what calls were charged, and say which prices changed."""
        now = {tier.name: tier for tier in live.tiers}
        self.terms = now | self.terms
        for seen in observed:
            if seen.answered and set(seen.answered) <= set(seen.used) & set(now):
                self._saw(live, now[seen.answered[-1]], seen)
        return [changed for name in now if (changed := self._changed(name))]

    def _saw(self, live: PolicyDocument, last: TierTerms, seen: Observation) -> None:
        """The last call of a query; its others are taken to cost what they did."""
        usd = {tier: self.terms[tier].cost_usd(*seen.used[tier]) for tier in seen.answered}
        first = usd.pop(last.name)
        others = sum(by * self.usual.get(tier, (1.0, 1.0))[0] for tier, by in usd.items())
        judged = seen.score is not None and live.segment(seen.segment).trust == "open"
        charged = seen.cost_usd - others - judged * live.judge.cost_usd
        if first > 0 and charged > 0:
            ratios = charged / first, last.cost_usd(*seen.used[last.name]) / first
            self.recent.setdefault(last.name, []).append(ratios)

    def _changed(self, tier: str) -> Repriced | None:
        recent = self.recent.get(tier, [])[-CALLS:]
        self.recent[tier] = recent
        if len(recent) < CALLS:
            return None
        charged, by_policy = (float(each) for each in np.median(recent, axis=0))
        usual = self.usual.setdefault(tier, (charged, by_policy))
        factor = charged / usual[0]
        if abs(factor - 1) < CHANGED:
            return None
        self.usual[tier], self.recent[tier] = (charged, by_policy), []
        return Repriced(tier, factor, by_policy / usual[1])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        terms = {name: each.model_dump(mode="json") for name, each in self.terms.items()}
        return {"terms": terms, "usual": self.usual, "recent": self.recent}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Self:
        """Inverse of ``to_json``."""
        return cls(
            {name: TierTerms(**each) for name, each in state["terms"].items()},
            {tier: _ratios(each) for tier, each in state["usual"].items()},
            {tier: [_ratios(each) for each in some] for tier, some in state["recent"].items()},
        )


def _ratios(pair: Sequence[float]) -> Ratios:
    charged, by_policy = pair
    return charged, by_policy
