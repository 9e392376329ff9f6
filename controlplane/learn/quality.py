"""p_hat of a tier: the chance that it is right, learned online from hashed features."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import linear_model, optim
from river.utils import VectorDict

from controlplane.learn.packing import packed, packed_places, unpacked, unpacked_places
from controlplane.learn.wording import Wording
from dataplane.contract.rule import Array, Places, expit
from dataplane.contract.terms import LinearEstimator
from dataplane.features import CATEGORIES, TEXT, Features

LEARNING_RATE = 0.5
FIRST_SQUARE = 0.1  # in AdaGrad's denominator from the start: a bucket's first step is a small one
SLOPE = 0.2  # of a usual p_hat on its log-odds
FIRST_LABELS = 20  # what the first level weighs against the mean of labels
DIGITS = 5  # of a weight in a policy, and of a record's p_hat


class QualityPredictor:
    """River's logistic regression over the buckets of ``dataplane.features``, AdaGrad-stepped.

    The level, that is the log-odds of a usual query, goes with the mean of all labels. By features
    that most queries share it would follow the last few dozen, by some three points of quality, and
    away from the p_hat of older labels: the intercept takes back what a step does to it. Beside it
    is a shift for each category, which ``categories`` reckons, and words count as far as
    ``wording`` has them believed. ``labels``: those of a recording that taught it.

    ``moved`` is by how much steps have moved what the words of a usual query come to.
    """

    def __init__(self, labels: int = 0) -> None:
        self._optimizer = optim.AdaGrad(LEARNING_RATE, eps=FIRST_SQUARE)
        self._model = linear_model.LogisticRegression(optimizer=self._optimizer, intercept_lr=0.0)
        self._exported: LinearEstimator | None = None
        self.shifts: dict[int, float] = {}
        self.wording = Wording(labels)
        self.moved = 0.0

    def predict(self, features: Features) -> float:
        """p_hat in (0, 1), by weights that are not rounded yet."""
        words, named = self._says(features)
        total = self.wording.share * words + named + self.shifts.get(features.category, 0.0)
        return float(expit(self._model.intercept + features.weight * total))

    def _says(self, features: Features, usual: Array | None = None) -> tuple[float, float]:
        """The sums of the weights of its words and of its category's, as learned step by step.

        Each times ``usual`` (BUCKETS,), if that is given.
        """
        known, end = self._model._weights, len(features.buckets) - (features.category > 0)
        weights = [known.get(bucket, 0.0) for bucket in features.buckets]
        if usual is not None:
            weights = [w * usual[at] for w, at in zip(weights, features.buckets, strict=True)]
        return sum(weights[:end]), sum(weights[end:])

    def learn(self, features: Features, right: float, usual: Array) -> None:
        """One label of the tier's answer, in [0, 1]; ``usual`` (BUCKETS,): the mean of queries."""
        p_hat, before = self.predict(features), self._says(features, usual)
        if features.category:
            said = features.weight * self._says(features)[0]
            self.wording.heard(features.category, said, p_hat, right)
        self._model.learn_one(self._vector(features), right)
        self._shorten(features)
        mean = (right - p_hat) / SLOPE / (self._optimizer.n_iterations + FIRST_LABELS)
        words, named = np.subtract(self._says(features, usual), before).tolist()
        self._model.intercept += mean - self.wording.share * words - named
        self.moved += words
        self._exported = None

    def words_add(self, features: Features) -> float:
        """By how many log-odds its words are more than those of a usual query of its category.

        All of them, whatever share is believed; 0 in a category that is not known yet.
        """
        if features.category and features.category not in self.wording.usual:
            return 0.0
        said = features.weight * self._says(features)[0]
        return said - self.wording.usual.get(features.category, self.moved)

    def recall(self, category: Places, size: Places, words: Array) -> Array:
        """p_hat (N,) as of today of queries that it has learned from since.

        Of these categories and so many buckets; ``words``: what ``words_add`` had said of each.
        """
        usual, named = np.zeros(CATEGORIES + 1), np.zeros(CATEGORIES + 1)
        usual[0] = self.moved
        usual[list(self.wording.usual)] = list(self.wording.usual.values())
        named[1:] = [self._model._weights.get(TEXT + at, 0.0) for at in range(CATEGORIES)]
        named[list(self.shifts)] += list(self.shifts.values())
        told = named[category] / np.sqrt(np.maximum(size, 1))
        said = self.wording.share * (usual[category] + words)
        return np.round(expit(self._model.intercept + told + said), DIGITS)

    def believe(self, usual_words: Mapping[int, float], of_it: float = 1.0) -> None:
        """Words count as far as they are believed, or so much of that; see ``Wording.met``."""
        self.wording.met(usual_words, of_it)
        self._exported = None

    def shift(self, shifts: Mapping[int, float]) -> None:
        """What the weight of each category is shifted by from here on, whatever steps it takes."""
        self.shifts = {category: round(by, DIGITS) for category, by in shifts.items()}
        self._exported = None

    def _shorten(self, features: Features) -> None:
        """Keep what was stepped in single precision: the state is half as large, and exact."""
        weights, squares = self._model._weights, self._optimizer.g2
        for bucket in features.buckets:
            weights[bucket] = float(np.float32(weights[bucket]))
            squares[bucket] = float(np.float32(squares[bucket]))

    def estimator(self) -> LinearEstimator:
        """The predictor as plain numbers, as a policy carries them."""
        if self._exported is None:
            self._exported = _estimator(float(self._model.intercept), self._counted())
        return self._exported

    def words(self) -> LinearEstimator:
        """What words alone say, and all of it."""
        return _estimator(0.0, {at: w for at, w in self._model.weights.items() if at < TEXT})

    def _counted(self) -> dict[int, float]:
        share = self.wording.share
        weights = {at: w * share if at < TEXT else w for at, w in self._model.weights.items()}
        for category, by in self.shifts.items():
            bucket = TEXT + category - 1
            weights[bucket] = weights.get(bucket, 0.0) + by
        return weights

    @staticmethod
    def _vector(features: Features) -> dict[int, float]:
        return dict.fromkeys(features.buckets, features.weight)

    def state(self) -> dict[str, Any]:
        """Everything that ``restore`` needs, as JSON values; up to 220 kB."""
        buckets = np.array(sorted(self._model.weights), dtype=np.uint16)
        return {
            "intercept": float(self._model.intercept),
            "buckets": packed_places(buckets),
            "weights": packed(_single(self._model.weights, buckets)),
            "squares": packed(_single(self._optimizer.g2, buckets)),
            "steps": int(self._optimizer.n_iterations),
            "shifts": list(self.shifts.items()),
            "wording": self.wording.state(),
            "moved": self.moved,
        }

    @classmethod
    def restore(cls, state: dict[str, Any] | None) -> "QualityPredictor":
        """Inverse of ``state``; of None, one that has learned nothing."""
        if state is None:
            return cls()
        predictor = cls(state["steps"])
        model, optimizer = predictor._model, predictor._optimizer
        buckets = unpacked_places(state["buckets"]).tolist()
        weights, squares = (
            unpacked(state[name], np.float32).tolist() for name in ("weights", "squares")
        )
        model.intercept = state["intercept"]
        model._weights = VectorDict(dict(zip(buckets, weights, strict=True)), model.initializer)
        optimizer.g2.update(dict(zip(buckets, squares, strict=True)))
        optimizer.n_iterations = state["steps"]
        if "wording" in state:  # a prior has none, and no shifts
            predictor.shifts = dict(state["shifts"])
            predictor.wording = Wording.restore(state["wording"])
            predictor.moved = state["moved"]
        return predictor


def _estimator(intercept: float, weights: Mapping[int, float]) -> LinearEstimator:
    buckets = np.array(sorted(weights), dtype=np.intp)
    rounded = np.array([weights[bucket] for bucket in buckets.tolist()]).round(DIGITS)
    kept = np.flatnonzero(rounded)
    return LinearEstimator(
        intercept=round(intercept, DIGITS),
        buckets=tuple(buckets[kept].tolist()),
        weights=tuple(rounded[kept].tolist()),
    )


def _single(values: Mapping[Hashable, float], buckets: NDArray[np.uint16]) -> NDArray[np.float32]:
    return np.array([values[bucket] for bucket in buckets.tolist()], dtype=np.float32)


def packed_estimator(estimator: LinearEstimator) -> dict[str, Any]:
    """An exported predictor as JSON values; its weights have ``DIGITS`` decimals."""
    scaled = np.rint(np.array(estimator.weights) * 10**DIGITS)
    return {
        "intercept": estimator.intercept,
        "buckets": packed_places(np.array(estimator.buckets, dtype=np.uint16)),
        "weights": packed(scaled.astype(np.int32)),
    }


def unpacked_estimator(state: dict[str, Any]) -> LinearEstimator:
    """Inverse of ``packed_estimator``, exactly."""
    return LinearEstimator(
        intercept=state["intercept"],
        buckets=tuple(unpacked_places(state["buckets"]).tolist()),
        weights=tuple((unpacked(state["weights"], np.int32) / 10**DIGITS).tolist()),
    )
