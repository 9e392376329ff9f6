"""From logits to a token: pure functions on arrays of shape (vocabulary,).

A vocabulary has a hundred thousand tokens and more, and this is done for each token of each answer,
between two steps of the model: in single precision, whose sums alone are double, and nothing is
sorted but what may be chosen.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Places = NDArray[np.intp]

BLOCK = 512  # tokens whose weights are summed before one of them is looked for
LIKELY = (1e-4, 1e-8, 0.0)  # times the likeliest: who is looked at first for a nucleus
COLDEST = 1e-30  # no lower temperature is told from 0 in single precision


def log_softmax(logits: Array) -> Array:
    """Natural log-probabilities of all tokens, under the model as it is (temperature 1)."""
    shifted = logits - logits.max()
    shifted -= np.float32(np.log(np.exp(shifted).sum(dtype=np.float64)))
    return np.asarray(shifted)


def sample(logprobs: Array, temperature: float, top_p: float, rng: np.random.Generator) -> int:
    """Draw a token; temperature 0 is the likeliest one.

    `top_p` keeps the smallest set of likeliest tokens whose tempered probability reaches it
    (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1).
    """
    likeliest = int(logprobs.argmax())
    if temperature == 0.0:
        return likeliest
    weights = np.exp((logprobs - logprobs[likeliest]) / np.float32(max(temperature, COLDEST)))
    if top_p >= 1.0:
        return _draw(weights, rng)
    kept = _nucleus(weights, top_p)
    return int(kept[_draw(weights[kept], rng)])


def top(logprobs: Array, count: int) -> list[int]:
    """The `count` likeliest tokens, likeliest first."""
    count = min(count, len(logprobs))
    if count == 0:
        return []
    among = np.flatnonzero(logprobs >= _as_high(logprobs, count))
    return [int(token) for token in _ranked(logprobs, among)[:count]]


def _as_high(logprobs: Array, count: int) -> np.float32:
    """A bound that so many tokens reach, and few more: the greatest of so many blocks do."""
    highest = np.maximum.reduceat(logprobs, np.arange(0, len(logprobs), BLOCK))
    if count > len(highest):
        return np.float32(logprobs.min())
    return np.float32(np.partition(highest, len(highest) - count)[len(highest) - count])


def _nucleus(weights: Array, top_p: float) -> Places:
    """The tokens that `top_p` of all weight is made of, likeliest first; the greatest weighs 1."""
    wanted = top_p * weights.sum(dtype=np.float64)
    for least in LIKELY:
        among = np.flatnonzero(weights >= least)
        if weights[among].sum(dtype=np.float64) > wanted:
            break
    order = _ranked(weights, among)
    reached = np.cumsum(weights[order], dtype=np.float64)
    return order[: int(np.searchsorted(reached, wanted)) + 1]


def _ranked(values: Array, among: Places) -> Places:
    return np.asarray(among[np.argsort(-values[among], kind="stable")])


def _draw(weights: Array, rng: np.random.Generator) -> int:
    """The place of one, as likely as it weighs."""
    ends = np.cumsum(np.add.reduceat(weights, np.arange(0, len(weights), BLOCK), dtype=np.float64))
    u = rng.random() * ends[-1]
    block = min(int(np.searchsorted(ends, u, side="right")), len(ends) - 1)
    first = block * BLOCK
    reached = np.cumsum(weights[first : first + BLOCK], dtype=np.float64)
    within = int(np.searchsorted(reached, u - (ends[block - 1] if block else 0.0), side="right"))
    last = int(np.searchsorted(reached, reached[-1]))  # that weighs anything
    return first + min(within, last)
