"""SIMULATED audits of a stream: what was served, which answers were labelled, what came of it.

The judge is that of ``tests/binormal.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from controlplane.stats import Interval, Survey, cross_fitted, wilson
from tests.binormal import (
    Answers,
    Array,
    Mask,
    answers,
    near_the_cutoff,
)

RATE = 0.2
BELIEVED = 0.8  # AUROC that the calibration on a disjoint split was fitted to
UNSURE_OF_WRONG, UNSURE_OF_RIGHT, EXPIRED = 0.25, 0.10, 0.05
DELAY = 100  # mean queries until a label comes
CUTOFF = 0.6
JUDGE_RATE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """A stream, and which of its queries were labelled: ``labels`` of them, drawn uniformly."""

    served: Answers
    drawn: Mask

    @property
    def value(self) -> Array:
        return self.served.right.astype(float)

    def survey(self, predicted: Array) -> Survey:
        drawn, chance = self.drawn, np.full(len(self.drawn), self.drawn.mean())
        mean, count = float(predicted.mean()), len(drawn)
        return Survey(self.value[drawn], predicted[drawn], chance[drawn], mean, count)

    @property
    def wilson(self) -> Interval:
        """Of the labels alone, with the same credit for having seen a part of a finite stream."""
        return wilson(float(self.value[self.drawn].mean()), self.drawn.sum() / (1 - RATE))


def audit(rng: np.random.Generator, labels: int, auroc: float, share: float | Array) -> Audit:
    """A stream of which ``labels`` answers are labelled."""
    queries = int(labels / RATE)
    drawn = np.zeros(queries, dtype=bool)
    drawn[rng.choice(queries, labels, replace=False)] = True
    return Audit(answers(rng, queries, auroc, share), drawn)


def disjoint(each: Audit) -> Array:
    """The judge's score, calibrated on other data."""
    return each.served.posterior(BELIEVED)


def p_hat_alone(each: Audit) -> Array:
    """No judge; the tuned weight is all the calibration that these labels give."""
    return each.served.p_hat


def itself(each: Audit) -> Array:
    """p_hat and score, calibrated on these labels."""
    columns = np.column_stack([logit(each.served.p_hat), each.served.score])
    seen = np.where(each.drawn, each.value, np.nan)
    return cross_fitted(columns, seen, np.full(len(seen), RATE))


Predict = Callable[[Audit], Array]
PREDICTIONS: dict[str, tuple[Predict, float]] = {  # and the judge's AUROC
    "disjoint": (disjoint, 0.8),
    "itself": (itself, 0.8),
    "p_hat": (p_hat_alone, 0.8),
    "useless": (disjoint, 0.5),
}


def drifting(rng: np.random.Generator, labels: int, *, adaptive: bool) -> tuple[Survey, float]:
    """Draws from a stream whose quality falls, and its true mean."""
    queries = int(labels / RATE)
    served = answers(rng, queries, 0.8, np.linspace(0.95, 0.6, queries))
    predicted = served.posterior(0.8)
    doubt = np.sqrt(predicted * (1 - predicted))
    chance = RATE * (0.3 + 0.7 * doubt / doubt.mean()) if adaptive else np.full(queries, RATE)
    drawn = rng.uniform(size=queries) < chance
    value = served.right.astype(float)
    mean = float(predicted.mean())
    return Survey(value[drawn], predicted[drawn], chance[drawn], mean, queries), value.mean()


def with_silence(rng: np.random.Generator, queries: int) -> tuple[Survey, float]:
    """All draws before the watermark, NaN where no label came, and the true mean before it.

    Labels come late; a labeller is unsure of wrong answers more often than of right ones, and
    some tasks expire.
    """
    value = (rng.uniform(size=queries) < 0.8).astype(float)
    drawn = rng.uniform(size=queries) < RATE
    pending = drawn & (np.arange(queries) + rng.exponential(DELAY, queries) > queries)
    pending[0] = False  # before a watermark at the first query there is no mean
    known = int(np.argmax(pending)) if pending.any() else queries  # the watermark
    silent = rng.uniform(size=queries) < np.where(value == 1, UNSURE_OF_RIGHT, UNSURE_OF_WRONG)
    silent |= rng.uniform(size=queries) < EXPIRED
    told = np.where(silent, np.nan, value)[:known][drawn[:known]]
    flat = np.full(len(told), 0.8)
    survey = Survey(told, flat, np.full(len(flat), RATE), 0.8, known)
    return survey, float(value[:known].mean())


def of_judge(
    rng: np.random.Generator, labels: int, truth: float, *, adaptive: bool
) -> tuple[Answers, Array]:
    """Labelled answers and the chances that they were drawn with: some ``labels`` of them."""
    served = answers(rng, int(labels / JUDGE_RATE), truth)
    chance = np.full(len(served), JUDGE_RATE)
    if adaptive:
        chance = near_the_cutoff(served.score, CUTOFF, JUDGE_RATE)
    drawn = rng.uniform(size=len(served)) < chance
    kept = Answers(served.p_hat[drawn], served.score[drawn], served.right[drawn])
    return kept, chance[drawn]
