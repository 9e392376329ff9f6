"""What judging would have been worth over routing on one audited query: realised, and frozen.

Both policies are those of the document that served the query, which was published before it was
drawn: the same beliefs, one lambda, judging allowed or not. Their qualities are the labels of the
answers that they would have served, their costs what the document expects of their calls. Where
both would serve the same answer no label is needed: they differ by what judging costs.
"""

from dataclasses import dataclass

import numpy as np

from controlplane.observations import Labelled
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Costs
from dataplane.contract.terms import SegmentPolicy
from dataplane.strategies import Courses, Queries, courses


@dataclass(frozen=True, slots=True)
class Comparison:
    """Utility of judging less that of routing, times a ``weight``, within ``reach`` of 0.

    Weighed, comparisons stand for all queries alike: by the least chance that any query of its
    policy had to be compared, over the chance of this one. ``pair``: different answers would have
    been served.
    """

    difference: float
    weight: float
    reach: float
    pair: bool


def compare(document: PolicyDocument, labelled: Labelled) -> Comparison | None:
    """The comparison by the document that served this query.

    None where it has no judge on trial, where it wants a certificate and has none, or where what is
    wanted of this query was not drawn or has no label. So a labeller may be unsure of wrong answers
    more often than of right ones, but not of one tier's more often than of another's that are as
    right.
    """
    segment = document.segment(labelled.observation.segment)
    judging = segment.judging
    if judging is None or judging.arms or document.uncertified(judging):
        return None
    if labelled.observation.excluded:
        return None
    ways = _ways(document, judging, labelled)
    if ways is None:
        return None
    judged, routed = ways
    served = [document.tiers[int(way.served[0])].name for way in ways]
    pair = served[0] != served[1]
    chance = _chance(document, segment, labelled, judged, served if pair else [])
    drawn = document.audit.of(segment.name)
    least = min(drawn.uniform if drawn else 0.0, document.shadow.rate)  # of any query
    if not chance or not least or (pair and not labelled.right.keys() >= set(served)):
        return None
    better = labelled.right[served[0]] - labelled.right[served[1]] if pair else 0.0
    features = labelled.observation.features
    costs = document.costs(float(features.chars), features.category)
    dearer = judging.lambda_ * (_spent(costs, judged) - _spent(costs, routed))
    weight = min(least / chance, 1.0)
    reach = 1 + judging.lambda_ * float(costs.local + costs.judge + max(costs.dear))
    return Comparison(weight * min(max(better - dearer, -reach), reach), weight, reach, pair)


def _ways(
    document: PolicyDocument, judging: SegmentPolicy, labelled: Labelled
) -> tuple[Courses, Courses] | None:
    """The courses of judging and of routing, None where the first hinges on an unknown score."""
    seen = labelled.observation
    score = document.judge.lowest if seen.score is None else seen.score
    queries = Queries.of(document, [seen.features], np.array([score]))
    judged = courses(document, judging, queries)
    if seen.score is None and judged.judged[0]:
        return None
    return judged, courses(document, judging.replaced(mode="route"), queries)


def _chance(
    document: PolicyDocument,
    segment: SegmentPolicy,
    labelled: Labelled,
    judged: Courses,
    wanted: list[str],
) -> float:
    """With which all that is wanted of this query came to be known.

    A local answer that its policy did not judge while serving was judged for the sake of a shadow.
    """
    chances = [labelled.audit_probability, *map(labelled.probability, wanted)]
    if judged.judged[0]:
        chances.append(labelled.probability(document.local.name))
        if not segment.judges:
            chances.append(labelled.shadow_probability)
    return min(chances)


def _spent(costs: Costs, way: Courses) -> float:
    """Expected cost of a course, in units."""
    spent = 0.0 if way.straight[0] else costs.local
    spent += costs.judge if way.judged[0] else 0.0
    spent += costs.dear[int(way.dear[0])] if way.to_dear[0] else 0.0
    return float(spent)
