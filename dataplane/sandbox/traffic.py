"""The demo's queries, all held out from training: an easy mix, and from half way a hard one."""

import random

from dataplane.sandbox.tasks import Query, draw_from_mix

BEFORE, AFTER = "easy", "hard"


def changes_at(count: int) -> int:
    """The place of the first query of the new mix."""
    return count // 2


def traffic(seed: int, count: int) -> list[Query]:
    """The queries of a run, in order; the same for the same seed and count everywhere."""
    rng = random.Random(f"traffic:{seed}")  # noqa: S311 - reproducible, no secret
    half = changes_at(count)
    return [
        draw_from_mix(rng, BEFORE if place < half else AFTER, held_out=True)
        for place in range(count)
    ]


def fixed(seed: int, count: int) -> list[Query]:
    """Queries of the new mix by which policies are compared; none of them is sent to anyone."""
    rng = random.Random(f"fixed:{seed}")  # noqa: S311 - reproducible, no secret
    return [draw_from_mix(rng, AFTER, held_out=True) for _ in range(count)]
