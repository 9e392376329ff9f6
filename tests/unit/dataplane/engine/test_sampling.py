import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataplane.engine.sampling import BLOCK, Array, log_softmax, sample, top

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05])).astype(np.float32)
# Few values, so that many tie; some are so low that no weight is left of them.
VOCABULARIES = st.integers(1, 3 * BLOCK).flatmap(
    lambda size: arrays(np.float32, size, elements=st.sampled_from([-400, -30, -9, -2, 0, 3]))
)


class Lot(np.random.Generator):
    """Draws the same number each time."""

    def __init__(self, lot: float) -> None:
        super().__init__(np.random.PCG64(0))
        self._lot = lot

    def random(self, *_: object, **__: object) -> float:  # type: ignore[override]
        return self._lot


@given(arrays(np.float32, 50, elements=st.floats(-500, 500, width=32)))
def test_probabilities_sum_to_one(logits: Array) -> None:
    logprobs = log_softmax(logits)
    assert np.exp(logprobs).sum() == pytest.approx(1)
    assert logprobs.max() <= 0


@given(arrays(np.float32, 2 * BLOCK, elements=st.floats(-50, 50, width=32)))
def test_logprobs_are_those_of_double_precision(logits: Array) -> None:
    exact = logits.astype(np.float64) - logits.max()
    exact -= np.log(np.exp(exact).sum())
    assert log_softmax(logits) == pytest.approx(exact, abs=1e-5)


@given(VOCABULARIES, st.integers(0, 3 * BLOCK))
def test_the_likeliest_are_those_of_a_full_sort(logits: Array, count: int) -> None:
    assert top(logits, count) == np.argsort(-logits, kind="stable")[:count].tolist()


@given(VOCABULARIES, st.sampled_from([0.2, 0.7, 0.99]), st.floats(0, 1, exclude_max=True))
def test_a_token_is_of_the_smallest_set_that_reaches_top_p(
    logits: Array, top_p: float, lot: float
) -> None:
    token = sample(log_softmax(logits), 0.5, top_p, Lot(lot))
    weights = np.exp(2 * (logits.astype(np.float64) - logits.max()))
    greater = weights[np.argsort(-weights, kind="stable")].cumsum()
    ahead = int((logits > logits[token]).sum()) + int((logits[:token] == logits[token]).sum())
    assert (greater[ahead - 1] if ahead else 0) <= (top_p + 1e-6) * greater[-1]


@given(VOCABULARIES, st.floats(0, 1, exclude_max=True))
def test_a_token_is_where_the_lot_falls_among_all_weights(logits: Array, lot: float) -> None:
    token = sample(log_softmax(logits), 1.0, 1.0, Lot(lot))
    reached = np.exp(logits.astype(np.float64) - logits.max()).cumsum()
    before = reached[token - 1] if token else 0.0
    assert before - 1e-4 <= lot * reached[-1] <= reached[token] + 1e-4
    assert reached[token] > before


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


def test_the_coldest_temperature_is_the_likeliest_token() -> None:
    assert sample(log_softmax(LOGITS), 1e-300, 1.0, Lot(0.999)) == 0


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
