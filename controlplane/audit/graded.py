"""The labelled local answers of the live judge, read from the tables."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from controlplane import registry
from controlplane.audit import judge_checks
from controlplane.audit.judge_report import Graded, JudgeReport, report
from controlplane.audit.prediction import local_right
from controlplane.connection import Connection
from controlplane.explain import shelf
from controlplane.observations import Labelled
from controlplane.observe import PostgresLog
from dataplane.contract.policy import PolicyDocument

SPAN = 5_000  # labelled queries that a report looks back on
RIGHT = 0.5  # an answer whose label is at least that is right


class _Row(NamedTuple):
    segment: str
    at: float
    score: float
    expected: float
    right: bool
    probability: float


def reports(connection: Connection, span: int = SPAN) -> list[JudgeReport]:
    """A report a segment of the live policy, on the judge that it names; nothing is written.

    Raises ``UnknownVersionError`` before the first policy.
    """
    live = registry.live(connection)
    by_segment: dict[str, list[_Row]] = defaultdict(list)
    for row in _rows(connection, live, span):
        by_segment[row.segment].append(row)
    beside = judge_checks.of(connection, live)
    return [
        replace(
            report(
                live.judge.judge,
                each.name,
                _graded(by_segment[each.name]),
                each.judge_cutoff,
                live.objective.confidence,
            ),
            checks=beside[each.name],
        )
        for each in live.segments
    ]


def _rows(connection: Connection, live: PolicyDocument, span: int) -> Iterator[_Row]:
    document = shelf(connection)
    for each in PostgresLog(connection).latest(span):
        policy = document(each.observation.policy_version)
        if policy is not None and policy.judge.judge == live.judge.judge:
            yield from _row(each, policy, live)


def _row(labelled: Labelled, policy: PolicyDocument, live: PolicyDocument) -> Iterator[_Row]:
    """The local answer, if it has a score and a label that could be asked for."""
    seen, local = labelled.observation, policy.local.name
    expected, chance = local_right(policy, seen), labelled.probability(local)
    if local in labelled.right and seen.score is not None and expected is not None and chance > 0:
        right = labelled.right[local] >= RIGHT
        segment = live.segment(seen.segment).name
        yield _Row(segment, seen.at.timestamp(), seen.score, expected, right, chance)


def _graded(rows: list[_Row]) -> Graded:
    rows = sorted(rows, key=lambda row: row.at)
    columns = np.array([row[1:] for row in rows], dtype=np.float64).reshape(
        -1, len(_Row._fields) - 1
    )
    at, score, expected, right, probability = columns.T
    return Graded(at, score, expected, right > 0, probability)
