import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.features import (
    BUCKETS,
    CATEGORIES,
    COARSE,
    MAX_BUCKETS,
    TEXT,
    Features,
    extract,
    of_text,
)


@given(st.text(max_size=300))
def test_any_text_has_features_of_length_one_or_none(text: str) -> None:
    features = of_text(text)
    assert features.chars == len(text)
    assert len(features.buckets) * features.weight**2 == pytest.approx(
        min(len(features.buckets), 1)
    )
    assert list(features.buckets) == sorted(set(features.buckets))
    assert all(0 <= bucket < BUCKETS for bucket in features.buckets)
    assert Features.from_compact(features.compact()) == features


def test_a_long_prompt_is_cut_off() -> None:
    assert (
        len(
            of_text(
                " ".join(f"{a}{b}{c}" for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyz")
            ).buckets
        )
        == MAX_BUCKETS
    )


def test_the_hash_is_the_same_in_another_process() -> None:
    code = "from dataplane.features import of_text; print(of_text('What is 47 + 85?').buckets)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(of_text("What is 47 + 85?").buckets)


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "user", "content": "a b"}], "a b"),
        ([{"role": "system", "content": "s"}, {"role": "user", "content": "a"}], "s\na"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}],
            "a",
        ),
        ([{"role": "assistant", "content": None}, {"role": "user", "content": "a"}], "a"),
        ([{"role": "user", "content": ["odd", {"text": 3}]}], ""),
    ],
)
def test_text_parts_of_messages_count(messages: list[dict[str, Any]], text: str) -> None:
    assert extract(messages) == of_text(text)


def test_numbers_are_seen_by_their_size_not_their_value() -> None:
    assert of_text("What is 47 + 85?") == of_text("What is 12 + 34?")
    assert of_text("What is 47 + 85?") != of_text("What is 470 + 850?")


def test_the_category_is_one_more_feature() -> None:
    plain, named = of_text("What is 47 + 85?"), of_text("What is 47 + 85?", "sums")
    (added,) = set(named.buckets) - set(plain.buckets)
    assert added == TEXT + named.category - 1
    assert of_text("What is 47 + 85?", "") == plain


@given(st.text(max_size=50), st.text(min_size=1, max_size=10))
def test_no_text_looks_like_a_category(text: str, category: str) -> None:
    assert of_text(text).category == 0
    assert 1 <= of_text(text, category).category <= CATEGORIES


def test_only_what_follows_solved_examples_counts() -> None:
    solved = "How many legs has a cat?\nA) two\nB) four\nAnswer:\nB\n\n"
    asked = "Is ice warm?\nA) yes\nB) no\nAnswer:"
    assert of_text(solved * 3 + asked).buckets == of_text(asked).buckets
    assert of_text(solved).buckets  # an example with nothing after it is itself the question


def test_words_are_known_by_how_they_begin() -> None:
    assert of_text("calculate quickly").buckets == of_text("calculus quickest").buckets


def test_neighbours_count_where_both_are_short() -> None:
    assert of_text("dog bites man") != of_text("man bites dog")
    assert of_text("alligators swallow").buckets == of_text("swallow alligators").buckets


def test_a_longer_question_exceeds_more_steps() -> None:
    short, long = ({b for b in of_text("x " * n).buckets if b < COARSE} for n in (10, 100))
    assert short < long
