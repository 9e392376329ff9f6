"""Rivals: policies that decide nothing here, and are compared with the one that does.

Two policies differ in quality only where they would serve different answers, so labels of other
queries tell nothing of the difference. What a rival would have served is known of a completed query
unless it hinges on a score that nobody saw: then it may be either, and is drawn to find out.
"""

from collections.abc import Sequence

import numpy as np

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Rival
from dataplane.features import Features
from dataplane.strategies.base import State
from dataplane.strategies.courses import Queries, courses


def may_serve(
    policy: PolicyDocument, segment: str, features: Features, score: float | None
) -> frozenset[str]:
    """The tiers whose answer this policy might have served, where all could have answered.

    ``score``: its judge's raw score of the local answer, None where that is not known.
    """
    chosen = policy.segment(segment)
    if chosen.arms:
        return frozenset(tier.name for tier in policy.tiers)
    at = policy.judge.lowest if score is None else score  # a score: what could be judged is
    course = courses(policy, chosen, Queries.of(policy, [features], np.array([at])))
    if score is None and course.judged[0]:
        return frozenset(tier.name for tier in policy.tiers)
    return frozenset({policy.tiers[int(course.served[0])].name})


def drawn_for(
    rivals: Sequence[Rival],
    policy: PolicyDocument,
    segment: str,
    features: Features,
    state: State,
    u: float,
) -> Rival | None:
    """The rival for whose sake a query is drawn on which ``u`` fell; of several the one that draws
    the greatest share. What they would serve is reckoned only where ``u`` is below that.
    """
    served = frozenset(state.answered[-1:])
    for each in sorted(rivals, key=lambda rival: rival.draw, reverse=True):
        score = state.score if each.policy.judge.judge == policy.judge.judge else None
        if u < each.draw and may_serve(each.policy, segment, features, score) != served:
            return each
    return None
