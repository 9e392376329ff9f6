from itertools import islice

import numpy as np
import pytest

from dataplane.sandbox import vocabulary
from dataplane.sandbox.corpus import batches, pack
from dataplane.sandbox.tasks import Query, is_held_out, solve

SUM = Query("1 + 1 = ?", "2", "sum", 1)


def test_a_packed_row_holds_whole_examples_and_weighs_answers_only() -> None:
    batch = pack(iter([SUM] * 9), rows=2, length=32)
    assert batch.segments.max(axis=1).tolist() == [2, 2]
    for row in range(2):
        for segment in (1, 2):
            own = batch.segments[row] == segment
            answer = batch.targets[row][own & (batch.weights[row] == 1)].tolist()
            assert answer == [*vocabulary.encode("2"), vocabulary.EOS]
            assert vocabulary.decode(batch.tokens[row][own].tolist()) == "1 + 1 = ?\n2"
    assert not batch.weights[batch.segments == 0].any()


def test_targets_are_the_next_tokens() -> None:
    batch = pack(iter([SUM]), rows=1, length=32)
    size = int(np.count_nonzero(batch.segments))
    assert (batch.targets[0, : size - 1] == batch.tokens[0, 1:size]).all()


def test_an_example_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="a row holds 8"):
        pack(iter([SUM]), rows=1, length=8)


def test_batches_hold_training_problems_only_and_repeat_with_the_seed() -> None:
    first, second = (list(islice(batches(3, rows=8, length=64), 3)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert (one.tokens == other.tokens).all()
        for row, segments in zip(one.tokens, one.segments, strict=True):
            for segment in range(1, segments.max() + 1):
                text, _, answer = vocabulary.decode(row[segments == segment].tolist()).partition(
                    "\n"
                )
                assert solve(text) == answer
                assert not is_held_out(text)
