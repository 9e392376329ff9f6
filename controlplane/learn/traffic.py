"""Recent queries as columns: what the learner looks at again under each new estimator."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from controlplane.learn.packing import packed, unpacked
from dataplane.contract.rule import Array, Places, expit
from dataplane.contract.terms import LinearEstimator
from dataplane.features import BUCKETS, TEXT, Features
from dataplane.strategies import Queries

Buckets: TypeAlias = NDArray[np.uint16]
Columns: TypeAlias = Queries  # a score is NaN where unknown

assert np.iinfo(np.uint16).max >= BUCKETS - 1


class _Seen(NamedTuple):
    buckets: Buckets
    chars: int
    score: float  # NaN: not judged


class Traffic:
    """The last ``most`` queries, or as many of them as have ``most_buckets`` buckets together.

    Long prompts have many buckets: they take the room of several short ones.
    """

    def __init__(self, most: int, most_buckets: int) -> None:
        self._most = most
        self._most_buckets = most_buckets
        self._seen: deque[_Seen] = deque()
        self._held = 0
        self._stacked: tuple[Buckets, NDArray[np.intp], Array, Array] | None = None
        self._made: list[tuple[Sequence[LinearEstimator], Columns]] = []

    def __len__(self) -> int:
        return len(self._seen)

    def append(self, features: Features, score: float | None) -> None:
        """Remember one more, and forget the oldest where there is no room."""
        buckets = np.array(features.buckets, dtype=np.uint16)
        self._append(_Seen(buckets, features.chars, np.nan if score is None else score))

    def _append(self, seen: _Seen) -> None:
        self._seen.append(seen)
        self._held += len(seen.buckets)
        while len(self._seen) > self._most or self._held > self._most_buckets:
            self._held -= len(self._seen.popleft().buckets)
        self._changed()

    def _changed(self) -> None:
        self._stacked = None
        self._made.clear()

    def keep_last(self, count: int) -> None:
        """Forget all but the last ``count``."""
        while len(self._seen) > count:
            self._held -= len(self._seen.popleft().buckets)
        self._changed()

    def columns(self, estimators: Sequence[LinearEstimator]) -> Columns:
        """All of them, under these estimators, one a tier; made once for each until they change."""
        for known, columns in self._made:
            if known is estimators:
                return columns
        buckets, sizes, chars, score = self._columns()
        seen = [log_odds(each, buckets, sizes) for each in estimators]
        made = Columns(expit(np.stack(seen, axis=-1)), chars, score, self.categories())
        self._made = [*self._made[-1:], (estimators, made)]  # the live policy's, and a draft's
        return made

    def weights(self) -> Array:
        """What each bucket of a query weighs (N,)."""
        return np.asarray(1 / np.sqrt(np.maximum(self._columns()[1], 1)))

    def usual(self) -> Array:
        """The mean of their feature vectors (BUCKETS,)."""
        buckets, sizes, *_ = self._columns()
        weights = np.repeat(self.weights(), sizes)
        sums = np.bincount(buckets, weights=weights, minlength=BUCKETS)
        return np.asarray(sums / max(len(sizes), 1))

    def log_odds(self, estimator: LinearEstimator) -> Array:
        """(N,) before calibration, under this estimator."""
        return log_odds(estimator, *self._columns()[:2])

    def categories(self) -> Places:
        """(N,) As ``Features.category`` has them."""
        buckets, sizes = self._columns()[:2]
        last = np.append(buckets, 0).astype(np.intp)[np.cumsum(sizes) - 1]
        return np.asarray(np.where(sizes > 0, np.maximum(last - TEXT + 1, 0), 0))

    def scores(self) -> Array:
        """The score of each, NaN where it was not judged."""
        return self._columns()[3]

    def judged(self, count: int) -> int:
        """Among how many of the last ones the last ``count`` judged ones are; all, if fewer are."""
        places = np.flatnonzero(~np.isnan(self.scores()))
        return len(self) - int(places[-count]) if count <= len(places) else len(self)

    def _columns(self) -> tuple[Buckets, NDArray[np.intp], Array, Array]:
        if self._stacked is None:
            self._stacked = _stack(self._seen)
        return self._stacked

    def state(self) -> dict[str, Any]:
        """As JSON values; the buckets are packed, two bytes each."""
        buckets, sizes, chars, score = self._columns()
        return {
            "buckets": packed(buckets),
            "sizes": sizes.tolist(),
            "chars": chars.astype(int).tolist(),
            "score": [None if np.isnan(each) else each for each in score.tolist()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        for seen in _unstacked(state):
            self._append(seen)


def log_odds(estimator: LinearEstimator, buckets: Buckets, sizes: NDArray[np.intp]) -> Array:
    """The estimator's log-odds (N,) of queries whose buckets stand one after the other."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    sums = np.bincount(rows, weights=estimator.table.take(buckets), minlength=len(sizes))
    return np.asarray(estimator.intercept + sums / np.sqrt(np.maximum(sizes, 1)))


def side_by_side(queries: Sequence[Features]) -> tuple[Buckets, NDArray[np.intp]]:
    """The buckets of queries, one after the other, and how many each has (N,)."""
    sizes = np.array([len(each.buckets) for each in queries], dtype=np.intp)
    buckets = np.fromiter(chain.from_iterable(each.buckets for each in queries), np.uint16)
    return buckets, sizes


def _stack(seen: deque[_Seen]) -> tuple[Buckets, NDArray[np.intp], Array, Array]:
    buckets = [each.buckets for each in seen]
    return (
        np.concatenate(buckets) if buckets else np.zeros(0, dtype=np.uint16),
        np.array([len(each) for each in buckets], dtype=np.intp),
        np.array([each.chars for each in seen], dtype=np.float64),
        np.array([each.score for each in seen], dtype=np.float64),
    )


def _unstacked(state: dict[str, Any]) -> Iterator[_Seen]:
    buckets = unpacked(state["buckets"], np.uint16)
    ends = np.cumsum(state["sizes"], dtype=np.intp)
    for end, size, chars, score in zip(
        ends, state["sizes"], state["chars"], state["score"], strict=True
    ):
        yield _Seen(buckets[end - size : end], chars, np.nan if score is None else score)
