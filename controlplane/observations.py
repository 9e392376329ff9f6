"""What the learner is shown: typed observations of completed and of labelled queries."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple, TypeAlias
from uuid import UUID

from dataplane.features import Features

Place: TypeAlias = Sequence[str]  # in the order of the draws; what it holds is the log's own


class Used(NamedTuple):
    """Tokens of one call."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Observation:
    """One completed query, as the policy that served it left it.

    ``answered``: the tiers that answered while serving, in order. ``score``: the judge's raw score
    of the local answer, from serving or, where the query went straight to the cloud, from its
    shadow. ``served``: the tier whose answer the client got. ``excluded``: the tiers that could not
    have answered; where that leaves no choice between the local tier and the dearest, the query is
    served, charged and audited, but says nothing of an arm. ``used``: what the calls of tiers,
    shadows included, used. ``models``: what answered, by tier.
    """

    decision_id: UUID
    at: datetime
    segment: str
    policy_version: int
    features: Features
    answered: tuple[str, ...]
    served: str
    score: float | None
    cost_usd: float
    excluded: frozenset[str] = frozenset()
    used: Mapping[str, Used] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)

    def used_by(self, tiers: Collection[str]) -> dict[str, Used]:
        """What these tiers' calls used, where it is known."""
        return {tier: self.used[tier] for tier in tiers if tier in self.used}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A query whose audit draw is resolved.

    ``right``: tier to the labelled value of its answer in [0, 1]; a tier is absent where it did
    not answer or its label was unsure. ``audit_probability`` is that of the audit draw;
    ``shadow_probability`` that of the draw which made the silent tiers answer (they answer only
    if both fell, and the rarer is a subset of the other), 0 where none could fall. ``rival`` is the
    version for whose sake it was drawn.
    """

    observation: Observation
    right: Mapping[str, float]
    audit_probability: float
    shadow_probability: float
    rival: int | None = None

    def probability(self, tier: str) -> float:
        """Probability with which this query's label of ``tier`` came to be asked for."""
        if tier in self.observation.answered:
            return self.audit_probability
        return min(self.audit_probability, self.shadow_probability)

    def held_out(self, share: float) -> bool:
        """Whether nothing may be learned from it: fixed by the query's id, so nobody chooses.

        Learning, gates and cutoffs leave such labels alone; estimates of quality use all.
        """
        digest = blake2b(f"held_out/{self.observation.decision_id}".encode(), digest_size=8)
        return int.from_bytes(digest.digest()) < share * 2**64
