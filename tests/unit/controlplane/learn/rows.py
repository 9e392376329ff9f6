"""Synthetic traffic with known truth, for the learner's tests."""

import random
import sys
from collections.abc import Iterable
from itertools import cycle

import numpy as np

from controlplane.evaluate.replay import Row
from controlplane.learn.traffic import Traffic
from dataplane.contract.rule import Array
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
    return [row for _, row in asked(seed, count, *mixes, separation=separation)]


def asked(
    seed: int, count: int, *mixes: tuple[float, ...], separation: float = 2.4
) -> list[tuple[str, Row]]:
    """The same rows, each with its prompt."""
    rng = random.Random(seed)
    return [_asked(rng, mixes[at * len(mixes) // count], separation) for at in range(count)]


def _asked(rng: random.Random, mix: tuple[float, ...], separation: float) -> tuple[str, Row]:
    (difficulty,) = rng.choices(range(5), mix)
    digits = [str(rng.randrange(10**difficulty, 10 ** (difficulty + 1))) for _ in range(2)]
    right = rng.random() < RIGHT[difficulty]
    score = -float(np.exp(-rng.gauss(separation if right else 0.0, 1.0)))
    prompt = f"What is {digits[0]} + {digits[1]}?"
    return prompt, Row(
        features=of_text(prompt),
        worth=(float(right), float(rng.random() < CLOUD_RIGHT)),
        usd=(LOCAL_USD, CLOUD_USD),
        score=score,
    )


def usual(queries: Iterable[Row]) -> Array:
    """The mean of their features, as recent traffic has it."""
    recent = Traffic(10_000, sys.maxsize)
    for row in queries:
        recent.append(row.features, None)
    return recent.usual()


KINDS = {  # chance of a right answer: of the local tier, of a specialist, of the cloud
    "Add up {} and {}.": (0.92, 0.25, 0.97),
    "Translate line {} of page {} into French.": (0.2, 0.95, 0.97),
    "Prove theorem {} of chapter {}.": (0.15, 0.2, 0.96),
}
SPECIALIST_USD = 1e-4


def specialised(seed: int, count: int) -> list[Row]:
    """``count`` queries of three kinds in turn, and three tiers; nothing is judged."""
    rng = random.Random(seed)
    return [_of_a_kind(rng, kind) for _, kind in zip(range(count), cycle(KINDS), strict=False)]


def _of_a_kind(rng: random.Random, kind: str) -> Row:
    return Row(
        features=of_text(kind.format(rng.randrange(10, 99), rng.randrange(10, 99))),
        worth=tuple(float(rng.random() < chance) for chance in KINDS[kind]),
        usd=(LOCAL_USD, SPECIALIST_USD, CLOUD_USD),
    )
