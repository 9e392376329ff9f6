"""Audit and shadow draws of a completed query: their probability is known before any label."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import SegmentPolicy
from dataplane.strategies.seeded import uniform


@dataclass(frozen=True, slots=True)
class Drawn:
    """One draw that fell: for a shadow, the tier that shall answer unseen."""

    kind: Literal["audit", "shadow"]
    probability: float
    tier: str | None = None


def on_trial(segment: SegmentPolicy) -> bool:
    """Whether a local answer that is served unjudged is judged too where a shadow was drawn.

    While trust is closed nothing else tells what the judge would have said of it.
    """
    return segment.trust == "closed"


def draw(policy: PolicyDocument, answered: Collection[str], seed: int) -> tuple[Drawn, ...]:
    """The draws of one completed query.

    One uniform number serves both kinds, so the rarer is a subset of the more frequent one and
    shadow answers are labelled too. Every silent tier is shadowed, or none.
    """
    u = uniform(seed, "draw")
    drawn = []
    if u < policy.audit.rate:
        drawn.append(Drawn("audit", policy.audit.rate))
    silent = [tier.name for tier in policy.tiers if tier.name not in answered]
    if answered and u < policy.shadow.rate:
        drawn += [Drawn("shadow", policy.shadow.rate, tier) for tier in silent]
    return tuple(drawn)
