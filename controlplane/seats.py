"""Tiers that come and go under a live policy, between its local and its dearest tier.

A newcomer is believed never to be right, so that no arm calls it. Shadows ask it as they ask every
silent tier; once enough of its answers are labelled, the learner gives it beliefs of its own.
"""

from collections.abc import Sequence
from typing import Any

from controlplane.learn.dear import UNPROVEN
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import LinearEstimator, SegmentPolicy, TierTerms


def seated(live: PolicyDocument, tiers: Sequence[TierTerms]) -> dict[str, Any] | None:
    """What a successor of ``live`` with these tiers has instead.

    None where the local or the dearest tier is another one: too much of what was learned is about
    those two.
    """
    if (tiers[0].name, tiers[-1].name) != (live.local.name, live.cloud.name):
        return None
    known = [tier.name for tier in live.tiers]
    places = [known.index(tier.name) if tier.name in known else None for tier in tiers]
    untrained = LinearEstimator()
    return {
        "tiers": tuple(tiers),
        "estimators": tuple(untrained if at is None else live.estimators[at] for at in places),
        "segments": tuple(_segment(each, places) for each in live.segments),
    }


def _segment(segment: SegmentPolicy, places: Sequence[int | None]) -> SegmentPolicy:
    mends, spoils = UNPROVEN
    dear = places[1:]
    p_hat = tuple(0.5 if at is None else segment.typical.p_hat[at] for at in places)
    return segment.replaced(
        dear_if_local_wrong=tuple(
            mends if at is None else segment.dear_if_local_wrong[at - 1] for at in dear
        ),
        dear_wrong_if_local_right=tuple(
            spoils if at is None else segment.dear_wrong_if_local_right[at - 1] for at in dear
        ),
        typical=segment.typical.replaced(p_hat=p_hat),
    )
