"""What the learner remembers: a window of recent contexts, and labelled records that fade."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dataplane.contract.rule import Array


class Context(NamedTuple):
    """A recent query: its p_hat when it came, its length, and the raw score if it was judged."""

    p_hat: float
    chars: int
    score: float | None


class Score(NamedTuple):
    """A judged local answer, served or shadowed: p_hat of its query, and the raw score."""

    p_hat: float
    raw: float


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
    """Bounded memory: ``contexts`` of the last queries, ``scores`` of the last judged answers,
    ``records`` of the last labels and the weight that alarms have left them (``faded``).
    """

    def __init__(self, contexts: int, records: int) -> None:
        self.contexts: deque[Context] = deque(maxlen=contexts)
        self.scores: deque[Score] = deque(maxlen=contexts)
        self.records: deque[Record] = deque(maxlen=records)
        self.faded: deque[float] = deque(maxlen=records)

    def saw(self, context: Context) -> None:
        """Remember a completed query."""
        self.contexts.append(context)
        self.judged(context.p_hat, context.score)

    def judged(self, p_hat: float, score: float | None) -> None:
        """Remember a judge's score, if there is one."""
        if score is not None:
            self.scores.append(Score(p_hat, score))

    def labelled(self, record: Record) -> None:
        """Remember a label."""
        self.records.append(record)
        self.faded.append(1.0)

    def forget(self, keep: float, contexts: int) -> None:
        """After an alarm: old records keep this share of their weight, few contexts stay."""
        self.faded = deque((w * keep for w in self.faded), maxlen=self.faded.maxlen)
        _keep_last(self.contexts, contexts)
        _keep_last(self.scores, contexts)

    def traffic(self) -> Columns:
        """The contexts as arrays."""
        return Columns(*_columns(self.contexts, 3))

    def judgements(self) -> tuple[Array, Array]:
        """p_hat and raw scores (N,) of the judged answers."""
        p_hat, raw = _columns(self.scores, 2)
        return p_hat, raw

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
            "contexts": list(self.contexts),
            "scores": list(self.scores),
            "records": list(self.records),
            "faded": list(self.faded),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        self.contexts.extend(Context(*row) for row in state["contexts"])
        self.scores.extend(Score(*row) for row in state["scores"])
        self.records.extend(Record(*row) for row in state["records"])
        self.faded.extend(state["faded"])


def _keep_last(rows: deque[Any], count: int) -> None:
    kept = list(rows)[-count:]
    rows.clear()
    rows.extend(kept)


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[Array]:
    table = np.array(list(rows), dtype=np.float64).reshape(-1, width)
    return list(np.ascontiguousarray(table.T))
