import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.judges import JUDGES
from dataplane.judges.logprob import EMPTY, score


def test_it_is_the_mean_log_probability() -> None:
    assert score([-0.5, -1.5]) == -1.0
    assert JUDGES["logprob"] is score


def test_an_answer_without_tokens_has_the_lowest_score() -> None:
    assert score([]) == EMPTY


def test_an_impossible_token_counts_as_nothing_said() -> None:
    assert score([-math.inf]) == EMPTY


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        score([-1.0, math.nan])


@given(st.lists(st.floats(max_value=1e-3), min_size=1))
def test_a_score_is_finite_and_never_above_zero(logprobs: list[float]) -> None:
    assert EMPTY <= score(logprobs) <= 0.0


@given(st.lists(st.floats(min_value=-50, max_value=0), min_size=1, max_size=20))
def test_a_repeated_answer_scores_alike(logprobs: list[float]) -> None:
    assert score(logprobs * 2) == pytest.approx(score(logprobs))
