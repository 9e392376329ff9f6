"""What the SIMULATED cloud answers: right mostly, and always the same to the same query."""

import math
import random
import re

from dataplane.sandbox.capitals import CAPITALS
from dataplane.sandbox.tasks import solve

ACCURACY = 0.96
CHARS_PER_TOKEN = 4
OVERHEAD_TOKENS = 7  # of a chat's frame around one message, as chat formats have it
PUZZLED = "SIMULATED: this provider only knows the sandbox's tasks."


def answer(seed: int, text: str, accuracy: float = ACCURACY) -> str:
    """The answer to a query: right with probability `accuracy`, drawn from `seed` and the text."""
    right = solve(text)
    if right is None:
        return PUZZLED
    rng = random.Random(f"{seed}:{text.strip()}")  # noqa: S311 - reproducible, no secret
    return right if rng.random() < accuracy else wrong(right, rng)


def wrong(right: str, rng: random.Random) -> str:
    """A plausible answer that is not the right one: of the same kind, near it."""
    if right in CAPITALS.values():
        return rng.choice([capital for capital in CAPITALS.values() if capital != right])
    if re.fullmatch(r"-?\d+", right):
        return str(int(right) + rng.choice((-10, -2, -1, 1, 2, 10)))
    parts = right.split() if " " in right else list(right)
    swapped = _swapped(parts, rng)
    return (" " if " " in right else "").join(swapped)


def _swapped(parts: list[str], rng: random.Random) -> list[str]:
    """Two unequal neighbours exchanged; the last part dropped where all are equal."""
    places = [i for i in range(len(parts) - 1) if parts[i] != parts[i + 1]]
    if not places:
        return parts[:-1]
    i = rng.choice(places)
    return [*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]]


def prompt_tokens(*texts: str) -> int:
    """Tokens that a chat of these messages is charged for."""
    return OVERHEAD_TOKENS + sum(tokens(text) for text in texts)


def tokens(text: str) -> int:
    """Tokens of a text, as this provider counts them."""
    return math.ceil(len(text) / CHARS_PER_TOKEN)
