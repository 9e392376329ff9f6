from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dataplane.engine.text import TextStream


def test_half_a_character_is_held_back() -> None:
    stream = TextStream()
    assert [stream.push(bytes([byte])) for byte in "é€".encode()] == ["", "é", "", "", "€"]


def test_half_a_character_at_the_end_is_replaced() -> None:
    stream = TextStream()
    assert stream.push(b"a\xe2\x82") == "a"
    assert stream.finish() == "\ufffd"


def test_what_may_become_a_stop_string_is_held_back() -> None:
    stream = TextStream(["STOP", "\n\n"])
    assert [stream.push(piece) for piece in (b"a\n", b"b S", b"T", b"ART ST")] == [
        "a", "\nb ", "", "START "]  # fmt: skip
    assert stream.push(b"OP and more") == ""
    assert stream.stopped
    assert stream.push(b"more") == stream.finish() == ""


def test_what_was_held_back_comes_out_at_the_end() -> None:
    stream = TextStream(["STOP"])
    assert stream.push(b"ST") == ""
    assert stream.finish() == "ST"


def test_the_first_of_two_stop_strings_wins() -> None:
    stream = TextStream(["c", "bc"])
    assert stream.push(b"abcd") == "a"


@given(
    st.text(alphabet="ab€", max_size=30),
    st.lists(st.text(alphabet="ab€", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 90), max_size=10),
)
def test_any_cut_gives_the_text_before_the_first_stop(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    stream = TextStream(stop)
    shown = "".join(stream.push(data[a:b]) for a, b in pairwise(edges)) + stream.finish()
    assert stream.stopped == any(s in text for s in stop)
    if not stream.stopped:
        assert shown == text
    else:
        assert text.startswith(shown)
        assert not any(s in shown for s in stop)
        assert any(text.startswith(s, len(shown)) for s in stop)
