"""Audit and shadow draws of a completed query: their probability is known before any label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Rival
from dataplane.contract.rule import Array
from dataplane.contract.terms import SegmentDraws, SegmentPolicy
from dataplane.features import Features
from dataplane.strategies.base import State
from dataplane.strategies.courses import Queries
from dataplane.strategies.interest import interest
from dataplane.strategies.rivals import drawn_for
from dataplane.strategies.seeded import uniform


@dataclass(frozen=True, slots=True)
class Drawn:
    """One draw that fell: for a shadow, the tier that shall answer unseen. As ``records.Draw``."""

    kind: Literal["audit", "shadow"]
    probability: float
    tier: str | None = None
    rival: int | None = None


def on_trial(segment: SegmentPolicy) -> bool:
    """Whether a local answer that is served unjudged is judged too where a shadow was drawn.

    While trust is closed nothing else tells what the judge would have said of it.
    """
    return segment.trust == "closed"


def draw(
    policy: PolicyDocument,
    segment: str,
    features: Features,
    state: State,
    seed: int,
    rivals: Sequence[Rival] = (),
) -> tuple[Drawn, ...]:
    """The draws of one completed query, all of whose tiers could have answered if it has rivals.

    One uniform number serves both kinds, so the rarer is a subset of the more frequent one and
    shadow answers are labelled too. Every silent tier is shadowed, or none.
    """
    u, draws = uniform(seed, "draw"), policy.audit.of(segment)
    rival = drawn_for(rivals, policy, segment, features, state, u)
    share, sake = (rival.draw, rival.policy.version) if rival else (0.0, None)
    chance, drawn = share, list[Drawn]()
    if draws is not None and u < draws.greatest:
        chance = max(chance, probability(policy, draws, features, state.score))
    if u < chance:
        drawn.append(Drawn("audit", chance, rival=sake))
    silent = [tier.name for tier in policy.tiers if tier.name not in state.answered]
    rate = max(policy.shadow.rate, share)
    if state.answered and u < rate:
        drawn += [Drawn("shadow", rate, tier, sake) for tier in silent]
    return tuple(drawn)


def probability(
    policy: PolicyDocument, draws: SegmentDraws, features: Features, score: float | None
) -> float:
    """That of the audit of a query whose local answer got this score while serving, if it did."""
    if not draws.slope:
        return draws.uniform
    queries = Queries.of(policy, [features], np.array([np.nan if score is None else score]))
    return float(probabilities(policy, draws, queries)[0])


def probabilities(policy: PolicyDocument, draws: SegmentDraws, queries: Queries) -> Array:
    """(N,) Those of many queries at once."""
    held = interest(policy, policy.segment(draws.segment), queries, draws.width)
    return np.asarray(np.minimum(draws.uniform + draws.slope * held, 1.0))
