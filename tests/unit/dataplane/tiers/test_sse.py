from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.tiers.sse import MAX_EVENT_BYTES, EventReader, EventTooLargeError

STREAM = (
    b": keep-alive\r\n\r\ndata: one\r\n\r\nevent: message\nid: 3\ndata:two\ndata: lines\n\n"
    b"\n\n: again\ndata: \xc3\xa9\n\ndata: [DONE]\n"
)
EVENTS = [b"one", b"two\nlines", "é".encode(), b"[DONE]"]


def test_comments_carriage_returns_and_other_fields_do_not_matter() -> None:
    reader = EventReader()
    assert reader.feed(STREAM) == EVENTS[:3]
    assert reader.finish() == EVENTS[3:]
    assert reader.finish() == []


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    reader = EventReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]
    events = [event for piece in pieces for event in reader.feed(piece)]
    assert events + reader.finish() == EVENTS


def test_an_event_without_end_is_refused() -> None:
    reader = EventReader()
    reader.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 100))
    with pytest.raises(EventTooLargeError):
        reader.feed(b"x" * 200)
