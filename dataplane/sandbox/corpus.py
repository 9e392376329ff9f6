"""Training batches: drawn queries, packed several to a row, with the loss on answers only."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from dataplane.sandbox import vocabulary
from dataplane.sandbox.tasks import Query, draw_practice


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of packed examples, each array (rows, length).

    `targets` are the next tokens; `weights` are 1 where the target belongs to an answer;
    `segments` number the examples of a row from 1, and 0 is padding.
    """

    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    weights: NDArray[np.float32]
    segments: NDArray[np.int32]


def batches(seed: int, rows: int, length: int) -> Iterator[Batch]:
    """Draw batches of training problems without end."""
    rng = random.Random(seed)  # noqa: S311  # reproducible, no secret
    while True:
        yield pack((draw_practice(rng) for _ in count()), rows, length)


def pack(queries: Iterator[Query], rows: int, length: int) -> Batch:
    """Fill `rows` rows of `length` tokens; a query too long for its row's rest starts the next.

    The first query that finds no row is dropped. One longer than a row is a ValueError.
    """
    shape = (rows, length)
    tokens, targets, segments = (np.zeros(shape, np.int32) for _ in range(3))
    weights = np.zeros(shape, np.float32)
    row, start, segment = 0, 0, 1
    for query in queries:
        asked, answered = vocabulary.prompt(query.text), _answer(query)
        example = [*asked, *answered]
        size = len(example) - 1
        if size > length:
            raise ValueError(f"{query.text!r} needs {size} tokens, a row holds {length}")
        if start + size > length:
            row, start, segment = row + 1, 0, 1
        if row == rows:
            break
        span = slice(start, start + size)
        tokens[row, span], targets[row, span] = example[:-1], example[1:]
        weights[row, start + len(asked) - 1 : start + size] = 1.0
        segments[row, span] = segment
        start, segment = start + size, segment + 1
    return Batch(tokens, targets, weights, segments)


def _answer(query: Query) -> Sequence[int]:
    return (*vocabulary.encode(query.answer), vocabulary.EOS)
