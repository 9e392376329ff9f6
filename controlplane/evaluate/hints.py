"""What a recording knows of a query's difficulty besides two outcomes: for training only."""

from collections.abc import Collection, Sequence

import numpy as np

from controlplane.evaluate.recorded import Recording
from dataplane.contract.rule import Array

TOKENS = "output_tokens"


def hints(
    recording: Recording, quality: Array, pair: Collection[str], at: Sequence[Sequence[int]]
) -> Array:
    """Numbers (N, K) of the queries whose rows ``at`` holds, (N,) of each tier's model.

    Log lengths of the recorded answers, and the mean quality of the other models; those of them
    that are known of every query.
    """
    columns = [*_lengths(recording, at), *_others(recording, quality, pair, at[0])]
    known = [each for each in columns if np.isfinite(each).all()]
    return np.column_stack(known) if known else np.zeros((len(at[0]), 0))


def _lengths(recording: Recording, at: Sequence[Sequence[int]]) -> list[Array]:
    if not recording.has(TOKENS):
        return []
    tokens = recording.numbers(TOKENS)
    return [np.log1p(tokens[list(places)]) for places in at]


def _others(
    recording: Recording, quality: Array, pair: Collection[str], at: Sequence[int]
) -> list[Array]:
    models, queries = recording.texts("model"), recording.texts("query_id")
    other = np.array([model not in pair for model in models]) & np.isfinite(quality)
    if not other.any():
        return []
    names, which = np.unique([query or "" for query in queries], return_inverse=True)
    counts = np.bincount(which[other], minlength=len(names))
    sums = np.bincount(which[other], weights=quality[other], minlength=len(names))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return [np.asarray(means[which[list(at)]])]
