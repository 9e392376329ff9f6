import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.sandbox import vocabulary


@given(st.text(max_size=80))
def test_text_survives_the_round_trip(text: str) -> None:
    tokens = vocabulary.encode(text)
    assert vocabulary.decode(tokens) == text.replace("▁", " ")
    assert all(vocabulary.EOS < token < len(vocabulary.PIECES) for token in tokens)


@pytest.mark.parametrize("text", vocabulary.CONTROL)
def test_a_control_token_cannot_be_spelled(text: str) -> None:
    assert not set(vocabulary.encode(text)) & {0, 1, 2}


def test_a_prompt_begins_with_bos_and_ends_with_a_line_feed() -> None:
    tokens = vocabulary.prompt("hi")
    assert tokens[0] == vocabulary.BOS
    assert vocabulary.decode(tokens) == "hi\n"
