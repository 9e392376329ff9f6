import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.sandbox.tasks import (
    DIFFICULTIES,
    MIXES,
    draw_from_mix,
    draw_practice,
    draw_query,
    is_correct,
    is_held_out,
    solve,
)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_solve_agrees_with_every_drawn_answer(difficulty: int) -> None:
    for seed in range(2000):
        query = draw_query(random.Random(seed), difficulty)
        assert solve(query.text) == query.answer
        assert query.difficulty == difficulty


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("What is 47 + 85?", "132"),
        ("Compute 10 + 20 + 30.", "60"),
        ("What is 34 - 51?", "-17"),
        ("Compute 12 * 12.", "144"),
        ("Sort: 9 3 7 1", "1 3 7 9"),
        ("Order: 10 9 100", "9 10 100"),
        ("Largest of 9 10 2?", "10"),
        ("Reverse: banana", "ananab"),
        ("Backwards: owl", "lwo"),
        ("Capital of Norway?", "Oslo"),
        ("  Capital of Norway?\n", "Oslo"),
    ],
)
def test_solve_gives_the_right_answer(text: str, answer: str) -> None:
    assert solve(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Capital of Atlantis?",
        "What is love?",
        "What is 4 + ?",
        "Sort:",
        "4 + 4",
        "What is ² + ²?",
    ],
)
def test_solve_knows_what_is_no_task(text: str) -> None:
    assert solve(text) is None
    assert not is_held_out(text)
    assert not is_correct(text, "None")


@given(st.text(max_size=60))
def test_solve_takes_any_text(text: str) -> None:
    solved = solve(text)
    assert solved is None or is_correct(text, solved)


def test_an_answer_is_judged_whole_but_for_the_space_around_it() -> None:
    assert is_correct("What is 47 + 85?", " 132\n")
    assert not is_correct("What is 47 + 85?", "1 32")
    assert not is_correct("What is 47 + 85?", "132.")
    assert not is_correct("What is 47 + 85?", "")


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_held_out_problems_and_training_problems_share_no_text(difficulty: int) -> None:
    rng = random.Random(7)
    held_out = [draw_query(rng, difficulty, held_out=True) for _ in range(1500)]
    trained = [draw_query(rng, difficulty, held_out=False) for _ in range(1500)]
    tested = {query.text for query in held_out if query.kind != "capital"}
    assert all(map(is_held_out, tested))
    assert not any(is_held_out(query.text) for query in trained)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 47 + 85?", "Compute 85 + 47."),
        ("Sort: 9 3 7 1", "Order: 1 3 9 7"),
        ("What is 12 * 34?", "Compute 34 * 12."),
    ],
)
def test_a_problem_is_on_one_side_however_it_is_put(one: str, other: str) -> None:
    assert is_held_out(one) == is_held_out(other)


def test_training_sees_every_difficulty_and_no_held_out_problem() -> None:
    rng = random.Random(9)
    drawn = [draw_practice(rng) for _ in range(2000)]
    assert {query.difficulty for query in drawn} == set(DIFFICULTIES)
    assert not any(is_held_out(query.text) for query in drawn)


def test_one_problem_in_ten_is_held_out() -> None:
    rng = random.Random(3)
    drawn = [draw_query(rng, 3) for _ in range(5000)]
    assert 0.08 < sum(is_held_out(query.text) for query in drawn) / len(drawn) < 0.12


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_queries_are_varied(difficulty: int) -> None:
    rng = random.Random(11)
    assert len({draw_query(rng, difficulty).text for _ in range(6000)}) > 2000


@pytest.mark.parametrize("mix", MIXES)
def test_a_mix_draws_its_difficulties_by_their_weights(mix: str) -> None:
    rng = random.Random(5)
    drawn = [draw_from_mix(rng, mix).difficulty for _ in range(4000)]
    for difficulty, weight in zip(DIFFICULTIES, MIXES[mix], strict=True):
        assert abs(drawn.count(difficulty) / len(drawn) - weight) < 0.03


def test_mixes_are_distributions_and_hard_is_harder() -> None:
    means = {}
    for mix, weights in MIXES.items():
        assert sum(weights) == pytest.approx(1.0)
        means[mix] = sum(
            level * weight for level, weight in zip(DIFFICULTIES, weights, strict=True)
        )
    assert means["hard"] > means["easy"] + 0.5


def test_the_same_seed_draws_the_same_queries() -> None:
    first, second = random.Random(1), random.Random(1)
    assert [draw_from_mix(first, "easy") for _ in range(50)] == [
        draw_from_mix(second, "easy") for _ in range(50)
    ]
