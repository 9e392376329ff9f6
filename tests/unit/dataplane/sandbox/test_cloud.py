import random

import pytest

from dataplane.sandbox import cloud
from dataplane.sandbox.tasks import DIFFICULTIES, draw_query, is_correct, solve


def test_the_same_query_gets_the_same_answer() -> None:
    text = "What is 47 + 85?"
    assert len({cloud.answer(7, text) for _ in range(5)}) == 1
    assert cloud.answer(7, text) == cloud.answer(7, f"  {text}\n")


def test_it_is_right_as_often_as_told() -> None:
    rng = random.Random(1)
    texts = [draw_query(rng, rng.choice(DIFFICULTIES)).text for _ in range(4000)]
    right = sum(is_correct(text, cloud.answer(3, text)) for text in texts) / len(texts)
    assert 0.95 < right < 0.97


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_a_wrong_answer_is_wrong_and_of_the_same_kind(difficulty: int) -> None:
    rng = random.Random(difficulty)
    for _ in range(500):
        query = draw_query(rng, difficulty)
        said = cloud.answer(0, query.text, accuracy=0.0)
        assert said
        assert not is_correct(query.text, said)
        assert said.lstrip("-").isdigit() == query.answer.lstrip("-").isdigit()


def test_equal_parts_cannot_be_swapped_and_are_dropped() -> None:
    assert cloud.wrong("5 5 5", random.Random(0)) == "5 5"


def test_what_is_no_task_is_not_answered() -> None:
    text = "Who are you?"
    assert solve(text) is None
    assert cloud.answer(0, text) == cloud.PUZZLED


def test_tokens_are_quarters_of_characters_rounded_up() -> None:
    assert [cloud.tokens("x" * length) for length in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert cloud.prompt_tokens("12345", "1") == cloud.OVERHEAD_TOKENS + 3
