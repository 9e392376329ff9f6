"""What the learner remembers: a window of recent contexts, and labelled records that fade."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from controlplane.learn.quality import QualityPredictor
from controlplane.learn.traffic import Columns, Traffic
from controlplane.observations import Labelled
from controlplane.stats import effective_labels
from dataplane.contract.rule import Array, Mask
from dataplane.contract.terms import LinearEstimator
from dataplane.features import Features

BUCKETS_KEPT = 80_000  # of all contexts: 210 kB of JSON
BUCKETS_SHADOWED = 40_000  # of those that were judged later


class Record(NamedTuple):
    """A query with labels: ``right`` has each tier's, a value in [0, 1] or None where unknown.

    ``words`` is by how many log-odds its words, to each tier's estimator, were more than a usual
    query's when the labels came, before it learned of them. ``at`` counts the observations before
    it; ``probability`` has those with which each tier's label came to be asked for. ``size`` counts
    its buckets, ``category`` is as ``Features`` has it.
    """

    at: int
    words: tuple[float, ...]
    size: int
    chars: int
    score: float | None
    right: tuple[float | None, ...]
    probability: tuple[float, ...]
    category: int = 0

    @classmethod
    def of(
        cls, labelled: Labelled, at: int, words: tuple[float, ...], tiers: Sequence[str]
    ) -> "Record":
        """What is remembered of a query with labels of some of these tiers."""
        seen = labelled.observation
        return cls(
            at,
            words,
            len(seen.features.buckets),
            seen.features.chars,
            seen.score,
            tuple(labelled.right.get(tier) for tier in tiers),
            tuple(labelled.probability(tier) for tier in tiers),
            seen.features.category,
        )


@dataclass(frozen=True, slots=True)
class Labels(Columns):
    """Records as ``Columns``; ``right`` and ``probability`` (N, tiers).

    ``weight`` (N,) fades with age, ``recent`` sooner.
    """

    right: Array
    probability: Array
    weight: Array
    recent: Array

    def telling(self, tier: int) -> Mask:
        """(N,) Which tell of the tier of this place: of a dear one, beside the local answer."""
        known = ~np.isnan(self.right[:, 0])
        if not tier:
            return known
        both = known & ~np.isnan(self.right[:, tier])
        scored = ~np.isnan(self.score)
        return np.asarray(both & scored if scored.any() else both)

    def support(self, tier: int) -> float:
        """The effective number of those that tell of the tier of this place."""
        return effective_labels(self.weight[self.telling(tier)])


class Evidence:
    """Bounded memory: ``contexts`` of the last queries, ``shadowed`` of answers that were judged
    later, ``records`` of the last labels and the weight that alarms have left them (``faded``).
    """

    def __init__(self, contexts: int, records: int) -> None:
        self.contexts = Traffic(contexts, BUCKETS_KEPT)
        self.shadowed = Traffic(contexts, BUCKETS_SHADOWED)
        self.records: deque[Record] = deque(maxlen=records)
        self.faded: deque[float] = deque(maxlen=records)
        self._columns: dict[str, Array] | None = None

    def saw(self, features: Features, score: float | None) -> None:
        """Remember a completed query."""
        self.contexts.append(features, score)

    def judged_late(self, features: Features, score: float) -> None:
        """Remember the score of a shadow's answer; its query was seen without one."""
        self.shadowed.append(features, score)

    def labelled(self, record: Record) -> None:
        """Remember a label."""
        self.records.append(record)
        self.faded.append(1.0)
        self._columns = None

    def seat(self, places: Sequence[int | None]) -> None:
        """Other tiers: the place that each had, None for one that no record knows."""
        self.records = deque((_seated(each, places) for each in self.records), self.records.maxlen)
        self._columns = None

    def forget(self, keep: float, since: int, contexts: int) -> None:
        """After an alarm: records of before ``since`` keep this share of their weight, and so many
        contexts stay.
        """
        weights = zip(self.faded, self.records, strict=True)
        kept = (w * keep if record.at < since else w for w, record in weights)
        self.faded = deque(kept, maxlen=self.faded.maxlen)
        self.contexts.keep_last(contexts)
        self.shadowed.keep_last(contexts)

    def traffic(self, estimators: Sequence[LinearEstimator]) -> Columns:
        """The contexts as arrays, under these estimators."""
        return self.contexts.columns(estimators)

    def scores(self) -> Array:
        """All judge scores at hand, served or shadowed."""
        seen = np.concatenate([self.shadowed.scores(), self.contexts.scores()])
        return np.asarray(seen[~np.isnan(seen)])

    def judged(self, estimators: Sequence[LinearEstimator]) -> Columns:
        """The queries whose local answer was judged, served or shadowed."""
        late, seen = self.shadowed.columns(estimators), self.contexts.columns(estimators)
        known = ~np.isnan(seen.score)
        return Columns(
            *(
                np.concatenate([getattr(late, name), getattr(seen, name)[known]])
                for name in ("p_hat", "chars", "score", "category")
            )
        )

    def labels(
        self, now: int, half_life: float, recent: float, predictors: Sequence[QualityPredictor]
    ) -> Labels:
        """The records as arrays, weighted by 2 ** (-age / either half-life) in observations.

        Their p_hat is at the level of today, and what their words add to it is what these
        predictors, one a tier, made of them before they learned of them (docs/decisions/022).
        """
        fields = dict(self._recorded())
        kept, age = np.asarray(self.faded), now - fields.pop("at")
        weight, sooner = (kept * np.exp2(-age / each) for each in (half_life, recent))
        category, size = (fields.pop(name).astype(np.intp) for name in ("category", "size"))
        words = fields.pop("words").reshape(len(category), len(predictors)).T
        told = zip(predictors, words, strict=True)
        p_hat = np.stack([each.recall(category, size, more) for each, more in told], axis=-1)
        return Labels(p_hat=p_hat, category=category, weight=weight, recent=sooner, **fields)

    def _recorded(self) -> dict[str, Array]:
        if self._columns is None:
            columns = (
                zip(*self.records, strict=True) if self.records else [[]] * len(Record._fields)
            )
            self._columns = {
                name: np.array(column, dtype=np.float64)
                for name, column in zip(Record._fields, columns, strict=True)
            }
        return self._columns

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "contexts": self.contexts.state(),
            "shadowed": self.shadowed.state(),
            "records": list(self.records),
            "faded": list(self.faded),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        self.contexts.restore(state["contexts"])
        self.shadowed.restore(state["shadowed"])
        self.records.extend(
            Record(at, tuple(words), size, chars, score, tuple(right), tuple(probability), category)
            for at, words, size, chars, score, right, probability, category in state["records"]
        )
        self.faded.extend(state["faded"])


def _seated(record: Record, places: Sequence[int | None]) -> Record:
    return record._replace(
        words=tuple(0.0 if at is None else record.words[at] for at in places),
        right=tuple(None if at is None else record.right[at] for at in places),
        probability=tuple(0.0 if at is None else record.probability[at] for at in places),
    )
