"""Synthetic traffic with known truth, for the learner's tests."""

import random

import numpy as np

from controlplane.evaluate.replay import Row
from dataplane.features import of_text

EASY = (0.25, 0.25, 0.25, 0.15, 0.10)
HARD = (0.11, 0.13, 0.25, 0.26, 0.25)
RIGHT = (0.98, 0.95, 0.70, 0.35, 0.15)
CLOUD_RIGHT = 0.96
CLOUD_USD = 5e-4
LOCAL_USD = 1e-5


def rows(seed: int, count: int, *mixes: tuple[float, ...], separation: float = 2.4) -> list[Row]:
    """``count`` queries of five difficulties in equal parts of the mixes.

    The judge's score is a monotone function of a normal number whose mean is ``separation`` higher
    for right answers.
    """
    rng = random.Random(seed)
    return [_row(rng, mixes[at * len(mixes) // count], separation) for at in range(count)]


def _row(rng: random.Random, mix: tuple[float, ...], separation: float) -> Row:
    (difficulty,) = rng.choices(range(5), mix)
    digits = [str(rng.randrange(10**difficulty, 10 ** (difficulty + 1))) for _ in range(2)]
    right = rng.random() < RIGHT[difficulty]
    score = -float(np.exp(-rng.gauss(separation if right else 0.0, 1.0)))
    return Row(
        features=of_text(f"What is {digits[0]} + {digits[1]}?"),
        worth=(float(right), float(rng.random() < CLOUD_RIGHT)),
        usd=(LOCAL_USD, CLOUD_USD),
        score=score,
    )
