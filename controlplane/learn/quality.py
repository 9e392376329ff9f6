"""p_hat: the chance that the local tier is right, learned online from hashed features."""

from typing import Any

from river import linear_model, optim
from river.utils import VectorDict

from dataplane.contract.terms import LinearEstimator
from dataplane.features import Features

LEARNING_RATE = 0.5
L2 = 1e-3
DIGITS = 5  # what a policy carries of a weight


class QualityPredictor:
    """River's logistic regression over the buckets of ``dataplane.features``, AdaGrad-stepped."""

    def __init__(self) -> None:
        self._optimizer = optim.AdaGrad(LEARNING_RATE)
        self._model = linear_model.LogisticRegression(
            optimizer=self._optimizer, l2=L2, intercept_lr=0.05
        )
        self._exported: LinearEstimator | None = None

    def predict(self, features: Features) -> float:
        """p_hat in (0, 1)."""
        return self.estimator().p_hat(features)

    def learn(self, features: Features, right: float) -> None:
        """One label of the local answer, in [0, 1]."""
        self._model.learn_one(self._vector(features), right)
        self._exported = None

    def estimator(self) -> LinearEstimator:
        """The predictor as plain numbers, as a policy carries them."""
        if self._exported is None:
            self._exported = self._export()
        return self._exported

    def _export(self) -> LinearEstimator:
        rounded = {b: round(w, DIGITS) for b, w in sorted(self._model.weights.items())}
        kept = {bucket: weight for bucket, weight in rounded.items() if weight}
        return LinearEstimator(
            intercept=round(float(self._model.intercept), DIGITS),
            buckets=tuple(kept),
            weights=tuple(kept.values()),
        )

    @staticmethod
    def _vector(features: Features) -> dict[int, float]:
        return dict.fromkeys(features.buckets, features.weight)

    def state(self) -> dict[str, Any]:
        """Everything that ``restore`` needs, as JSON values."""
        return {
            "intercept": float(self._model.intercept),
            "weights": sorted(self._model.weights.items()),
            "squares": sorted((k, float(v)) for k, v in self._optimizer.g2.items()),
            "steps": int(self._optimizer.n_iterations),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> "QualityPredictor":
        """Inverse of ``state``."""
        predictor = cls()
        model, optimizer = predictor._model, predictor._optimizer
        model.intercept = state["intercept"]
        weights = {int(bucket): weight for bucket, weight in state["weights"]}
        model._weights = VectorDict(weights, model.initializer)
        optimizer.g2.update({int(bucket): square for bucket, square in state["squares"]})
        optimizer.n_iterations = state["steps"]
        return predictor
