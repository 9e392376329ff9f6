"""The tier's own confidence: mean log-probability of its tokens (arXiv 2404.10136, section 3)."""

import math
from collections.abc import Sequence

EMPTY = -1e3  # of an answer without a token: nothing speaks for it


def score(logprobs: Sequence[float]) -> float:
    """Mean natural log-probability per sampled token, at most 0; `EMPTY` for an empty answer.

    A log-probability of minus infinity counts as `EMPTY`; raises ``ValueError`` on NaN.

    >>> score([-0.5, -1.5])
    -1.0
    """
    if not logprobs:
        return EMPTY
    if any(math.isnan(one) for one in logprobs):
        raise ValueError("a log-probability is not a number")
    return min(0.0, math.fsum(max(one, EMPTY) for one in logprobs) / len(logprobs))
