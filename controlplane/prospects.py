"""Prospects: what a change of policy is expected to bring on the queries that came last."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.connection import Connection
from controlplane.learn.imagine import Outlook, imagine
from controlplane.learn.policy_family import Arm, Arms
from controlplane.observations import Observation
from controlplane.observe import PostgresLog
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import SegmentPolicy
from dataplane.strategies import Queries

QUERIES = 1_000


@dataclass(frozen=True, slots=True)
class Prospect:
    """What the newer policy believes of a segment's last ``queries``: mean bill (USD) and quality
    by the older one's threshold and cutoff, and by its own. It believes what labels said since.
    """

    segment: str
    queries: int
    usd_before: float
    usd_after: float
    quality_before: float
    quality_after: float


def prospects(
    connection: Connection, before: PolicyDocument, after: PolicyDocument
) -> list[Prospect]:
    """One a segment that both have and of which queries came lately."""
    seen = PostgresLog(connection).recent(QUERIES)
    known = {segment.name: segment for segment in before.segments}
    found = []
    for segment in after.segments:
        told = [each for each in seen if after.segment(each.segment).name == segment.name]
        if told and segment.name in known:
            found.append(_prospect(after, known[segment.name], segment, told))
    return found


def _prospect(
    after: PolicyDocument, was: SegmentPolicy, now: SegmentPolicy, told: Sequence[Observation]
) -> Prospect:
    scores = np.array([np.nan if each.score is None else each.score for each in told])
    alone = after.model_copy(update={"segments": (now,)})
    outlook = Outlook.of(alone, Queries.of(alone, [each.features for each in told], scores))
    ways = imagine(outlook, Arms((Arm.of(was), Arm.of(now))).columns)
    usd, quality = ways.usd.mean(axis=0), ways.quality.mean(axis=0)
    return Prospect(now.name, len(told), *map(float, (*usd, *quality)))
