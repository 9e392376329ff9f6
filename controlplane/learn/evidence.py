"""What the learner remembers: a window of recent contexts, and labelled records that fade."""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dataplane.contract.rule import Array, expit
from dataplane.contract.terms import LinearEstimator
from dataplane.features import Features

BUCKETS_KEPT = 60_000  # of all contexts: some 400 kB of JSON


class Context(NamedTuple):
    """A recent query, and the judge's raw score of its local answer if there is one."""

    features: Features
    score: float | None


class Record(NamedTuple):
    """A query with labels: ``local`` and ``cloud`` are values in [0, 1], None where unknown.

    ``at`` counts the observations before it; ``local_probability`` and ``cloud_probability`` are
    those with which either label came to be asked for.
    """

    at: int
    p_hat: float
    chars: int
    score: float | None
    local: float | None
    cloud: float | None
    local_probability: float
    cloud_probability: float


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows as arrays of shape (N,), NaN where unknown."""

    p_hat: Array
    chars: Array
    score: Array


@dataclass(frozen=True, slots=True)
class Labels(Columns):
    """Records as arrays of shape (N,), NaN where unknown; ``weight`` fades with age."""

    local: Array
    cloud: Array
    local_probability: Array
    cloud_probability: Array
    weight: Array


class Evidence:
    """Bounded memory: ``contexts`` of the last queries, ``shadowed`` of answers that were judged
    later, ``records`` of the last labels and the weight that alarms have left them (``faded``).
    """

    def __init__(self, contexts: int, records: int) -> None:
        self.contexts: deque[Context] = deque(maxlen=contexts)
        self.shadowed: deque[Context] = deque(maxlen=contexts)
        self.records: deque[Record] = deque(maxlen=records)
        self.faded: deque[float] = deque(maxlen=records)

    def saw(self, features: Features, score: float | None) -> None:
        """Remember a completed query."""
        _append(self.contexts, Context(features, score))

    def judged_late(self, features: Features, score: float) -> None:
        """Remember the score of a shadow's answer; its query was seen without one."""
        _append(self.shadowed, Context(features, score))

    def labelled(self, record: Record) -> None:
        """Remember a label."""
        self.records.append(record)
        self.faded.append(1.0)

    def forget(self, keep: float, contexts: int) -> None:
        """After an alarm: old records keep this share of their weight, few contexts stay."""
        self.faded = deque((w * keep for w in self.faded), maxlen=self.faded.maxlen)
        for seen in (self.contexts, self.shadowed):
            kept = list(seen)[-contexts:]
            seen.clear()
            seen.extend(kept)

    def traffic(self, estimator: LinearEstimator) -> Columns:
        """The contexts as arrays, under this estimator."""
        return _columns_of(self.contexts, estimator)

    def judged(self, estimator: LinearEstimator) -> Columns:
        """The queries whose local answer was judged, served or shadowed."""
        seen = [context for context in self.contexts if context.score is not None]
        return _columns_of([*self.shadowed, *seen], estimator)

    def labels(self, now: int, half_life: float) -> Labels:
        """The records as arrays, weighted by 2 ** (-age / half_life), age in observations."""
        at, p_hat, chars, score, local, cloud, local_probability, cloud_probability = _columns(
            self.records, 8
        )
        weight = np.asarray(self.faded) * np.exp2((at - now) / half_life)
        return Labels(
            p_hat=p_hat,
            chars=chars,
            score=score,
            local=local,
            cloud=cloud,
            local_probability=local_probability,
            cloud_probability=cloud_probability,
            weight=weight,
        )

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "contexts": [_plain(context) for context in self.contexts],
            "shadowed": [_plain(context) for context in self.shadowed],
            "records": list(self.records),
            "faded": list(self.faded),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        self.contexts.extend(_context(*row) for row in state["contexts"])
        self.shadowed.extend(_context(*row) for row in state["shadowed"])
        self.records.extend(Record(*row) for row in state["records"])
        self.faded.extend(state["faded"])


def _append(seen: deque[Context], context: Context) -> None:
    """Long prompts have many buckets: they take the room of several short ones."""
    seen.append(context)
    held = sum(len(each.features.buckets) for each in seen) if len(seen) % 50 == 0 else 0
    while held > BUCKETS_KEPT:
        held -= len(seen.popleft().features.buckets)


def _plain(context: Context) -> tuple[int, list[int], float | None]:
    return context.features.chars, list(context.features.buckets), context.score


def _context(chars: int, buckets: list[int], score: float | None) -> Context:
    return Context(Features(chars, tuple(buckets)), score)


def _columns_of(contexts: Collection[Context], estimator: LinearEstimator) -> Columns:
    log_odds = np.array([estimator.log_odds(each.features) for each in contexts])
    rows = [(each.features.chars, each.score) for each in contexts]
    chars, score = _columns(rows, 2)
    return Columns(expit(log_odds), chars, score)


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[Array]:
    table = np.array(list(rows), dtype=np.float64).reshape(-1, width)
    return list(np.ascontiguousarray(table.T))
