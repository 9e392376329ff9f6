"""The SIMULATED drifts of the sandbox's world, as pure functions of a seed and a query's text.

Magnitudes are those of the learning benchmark: the local tier loses a quarter of its right answers,
or the judge's AUROC falls to .6. A judge of log-probabilities is as good as these are, so it is
they that drift.
"""

import random
from collections.abc import Sequence
from typing import Literal, TypeAlias

from dataplane.sandbox import cloud
from dataplane.sandbox.tasks import is_correct, kind_of

Drift: TypeAlias = Literal["judge", "local"]
LOST = 0.25  # of the right answers
SWAPPED = 0.8  # of all answers get the confidence of another one: .5 + .2 * (.975 - .5) is .6
RIGHT_SHARE = 0.72  # of the shipped model on the easy mix
RIGHT = (-0.063, -0.012, -0.0041, -0.0018, -8e-4, -5e-4, -2e-4, -1e-4, -6e-5, -3e-5)
WRONG = (-1.35, -1.08, -1.0, -0.9, -0.8, -0.69, -0.61, -0.45, -0.081, -0.031)
"""Mean log-probabilities of the shipped model's right and wrong answers to the easy mix, by decile
(the middles of ten; 2,500 answers)."""
WRONG_SUMS = (-1.4, -1.1, -1.0, -0.95, -0.88, -0.8, -0.71, -0.65, -0.57, -0.39)
WRONG_OTHERS = (-0.11, -0.084, -0.074, -0.061, -0.053, -0.045, -0.037, -0.03, -0.02, -0.0094)
ARITHMETIC = ("sum", "difference", "product")
"""Of its wrong answers to arithmetic, and to all else: it is surer of those that are easier."""


def changed(drift: Drift, seed: int, query: str, answer: str) -> tuple[str, float | None]:
    """What the local tier says from the drift on; its mean log-probability, None where it stays."""
    rng = random.Random(f"{drift}:{seed}:{query.strip()}")  # noqa: S311 - reproducible, no secret
    u = rng.random()
    if drift == "judge" and u < SWAPPED:
        return answer, _confidence(rng, RIGHT if rng.random() < RIGHT_SHARE else WRONG)
    if drift == "local" and u < LOST and is_correct(query, answer):
        usual = WRONG_SUMS if kind_of(query) in ARITHMETIC else WRONG_OTHERS
        return cloud.wrong(answer.strip(), rng), _confidence(rng, usual)
    return answer, None


def _confidence(rng: random.Random, usual: Sequence[float]) -> float:
    return rng.choice(usual) * rng.uniform(0.8, 1.25)
