"""From logits to a token: pure functions on arrays of shape (vocabulary,)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_softmax(logits: NDArray[np.float32]) -> Array:
    """Natural log-probabilities of all tokens, under the model as it is (temperature 1)."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max()
    shifted -= np.log(np.exp(shifted).sum())
    return shifted


def sample(logprobs: Array, temperature: float, top_p: float, rng: np.random.Generator) -> int:
    """Draw a token; temperature 0 is the likeliest one.

    `top_p` keeps the smallest set of likeliest tokens whose tempered probability reaches it
    (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1).
    """
    if temperature == 0.0:
        return int(logprobs.argmax())
    tempered = np.exp(log_softmax_64(logprobs / temperature))
    if top_p >= 1.0:
        return _draw(tempered, rng)
    order = np.argsort(-tempered, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(tempered[order]), top_p)) + 1]
    return int(kept[_draw(tempered[kept], rng)])


def log_softmax_64(scores: Array) -> Array:
    """Log-softmax of scores that are already 64-bit."""
    shifted = scores - scores.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def top(logprobs: Array, count: int) -> list[int]:
    """The `count` likeliest tokens, likeliest first."""
    count = min(count, len(logprobs))
    if count == 0:
        return []
    likeliest = np.argpartition(-logprobs, count - 1)[:count]
    return [int(token) for token in likeliest[np.argsort(-logprobs[likeliest], kind="stable")]]


def _draw(weights: Array, rng: np.random.Generator) -> int:
    cumulated = np.cumsum(weights)
    return int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
