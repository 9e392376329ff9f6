"""What a strategy sees and what it answers. Pure: same inputs, same choice, in every process."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import SegmentPolicy
from dataplane.features import Features

REPLY = "reply"
JUDGE = "judge"
CALL = "call:"

Stage = Literal["open", "answered", "scored", "closed"]


def call(tier: str) -> str:
    """The action of asking a tier."""
    return CALL + tier


@dataclass(frozen=True, slots=True)
class State:
    """The attempts so far: which tiers answered, and the judge's raw score of the local answer."""

    answered: tuple[str, ...] = ()
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """An action drawn from ``pmf``, with the numbers that explain it.

    ``propensity`` is ``pmf[action]``. ``threshold`` is the effective one for this query: on p_hat
    before an answer exists, on the raw judge score afterwards; None where nothing is compared.
    """

    pmf: dict[str, float]
    action: str
    threshold: float | None
    values: dict[str, float]

    @property
    def propensity(self) -> float:
        """Probability of the action under the serving policy."""
        return self.pmf[self.action]


@dataclass(frozen=True, slots=True)
class Context:
    """One query under one policy: beliefs and expected costs of what is ``eligible``.

    ``dear`` names the eligible dear tiers, in the order of beliefs and costs.
    """

    policy: PolicyDocument
    segment: SegmentPolicy
    p_hat: rule.Array  # (tiers,)
    beliefs: rule.Beliefs
    costs: rule.Costs
    eligible: frozenset[str]
    dear: tuple[str, ...]

    @property
    def local(self) -> str:
        """The cheapest tier's name."""
        return self.policy.local.name

    @property
    def tiers(self) -> tuple[str, ...]:
        """The eligible tiers, from the cheapest to the dearest."""
        return (self.local, *self.dear) if self.local in self.eligible else self.dear

    @property
    def may_judge(self) -> bool:
        """Whether judging can lead anywhere: a judge, its tier, and one to escalate to."""
        return JUDGE in self.eligible and self.local in self.eligible and bool(self.dear)

    @property
    def barred(self) -> bool:
        """Whether the local answer may not be kept: no score can say that it is good enough."""
        return self.beliefs.floor is not None and not self.may_judge

    def stage(self, state: State) -> Stage:
        """Where in its life the query is."""
        if not state.answered:
            return "open"
        if state.answered != (self.local,) or not self.may_judge:
            return "closed"
        return "answered" if state.score is None else "scored"

    def within(self, eligible: Collection[str]) -> "Context":
        """The same query where no more than these are left.

        Without a dear tier nothing is barred: the local answer is all there is.
        """
        kept = self.eligible.intersection(eligible)
        at = [place for place, name in enumerate(self.dear) if name in kept]
        if len(at) == len(self.dear):
            return self if kept == self.eligible else replace(self, eligible=kept)
        dear = tuple(self.beliefs.dear[place] for place in at)
        floor = self.beliefs.floor if dear else None
        return replace(
            self,
            beliefs=replace(self.beliefs, dear=dear, floor=floor),
            costs=replace(self.costs, dear=tuple(self.costs.dear[place] for place in at)),
            eligible=kept,
            dear=tuple(self.dear[place] for place in at),
        )


def consider(
    policy: PolicyDocument, features: Features, segment: str, eligible: Collection[str]
) -> Context:
    """The context of a query; ``eligible`` holds tier names, and ``judge`` where one is at hand."""
    terms = policy.segment(segment)
    p_hat = policy.p_hat(features)
    beliefs, costs = policy.beliefs(terms, p_hat), policy.costs(features.chars, features.category)
    left, dear = frozenset(eligible), tuple(tier.name for tier in policy.dear)
    return Context(policy, terms, p_hat, beliefs, costs, left, dear).within(left)


@dataclass(frozen=True, slots=True)
class Preference:
    """What one arm wants: an action, the values compared and the effective threshold."""

    action: str
    values: dict[str, float]
    threshold: float | None


class Strategy(Protocol):
    """One mode of deciding, at one lambda."""

    def __call__(self, context: Context, state: State, lambda_: float) -> Preference:
        """The action preferred in this state."""
        ...
