import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataplane.engine.sampling import log_softmax, sample, top

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05])).astype(np.float32)


@given(arrays(np.float32, 50, elements=st.floats(-500, 500, width=32)))
def test_probabilities_sum_to_one(logits: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    logprobs = log_softmax(logits)
    assert np.exp(logprobs).sum() == pytest.approx(1)
    assert logprobs.max() <= 0


def test_temperature_zero_is_the_likeliest_token() -> None:
    rng = np.random.default_rng(0)
    assert {sample(log_softmax(LOGITS), 0.0, 1.0, rng) for _ in range(50)} == {0}


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, [0.5, 0.3, 0.15, 0.05]),
        (1.0, 0.75, [0.625, 0.375, 0, 0]),
        (0.5, 1.0, [0.25, 0.09, 0.0225, 0.0025]),
    ],
)
def test_tokens_come_as_often_as_they_should(
    temperature: float, top_p: float, expected: list[float]
) -> None:
    rng = np.random.default_rng(7)
    logprobs = log_softmax(LOGITS)
    drawn = [sample(logprobs, temperature, top_p, rng) for _ in range(20_000)]
    share = np.bincount(drawn, minlength=4) / len(drawn)
    assert share == pytest.approx(np.array(expected) / sum(expected), abs=0.015)


def test_a_seed_repeats_its_draws() -> None:
    logprobs = log_softmax(LOGITS)
    first, second = (
        [sample(logprobs, 1.0, 0.9, rng) for _ in range(30)]
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert first == second


def test_the_likeliest_come_in_order() -> None:
    assert top(log_softmax(LOGITS[::-1]), 3) == [3, 2, 1]
    assert top(log_softmax(LOGITS), 20) == [0, 1, 2, 3]
    assert top(log_softmax(LOGITS), 0) == []
