"""The demo's queries, all held out from training: an easy mix, and from half way another one."""

import random

from dataplane.sandbox.tasks import Query, draw_from_mix

EASY, HARD = "easy", "hard"


def changes_at(count: int) -> int:
    """The place of the first query of the new mix."""
    return count // 2


def traffic(seed: int, count: int, after: str = HARD) -> list[Query]:
    """The queries of a run, in order; the same for the same arguments everywhere.

    ``after``: the mix from half way on.
    """
    rng = random.Random(f"traffic:{seed}")  # noqa: S311 - reproducible, no secret
    half = changes_at(count)
    return [
        draw_from_mix(rng, EASY if place < half else after, held_out=True) for place in range(count)
    ]


def fixed(seed: int, count: int, mix: str = HARD) -> list[Query]:
    """Queries of one mix by which policies are compared; none of them is sent to anyone."""
    rng = random.Random(f"fixed:{seed}")  # noqa: S311 - reproducible, no secret
    return [draw_from_mix(rng, mix, held_out=True) for _ in range(count)]
