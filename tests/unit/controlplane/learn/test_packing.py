import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from controlplane.learn.packing import packed, packed_places, unpacked, unpacked_places
from dataplane.features import BUCKETS

PLACES = st.lists(st.integers(0, BUCKETS - 1), unique=True).map(sorted)


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_an_array_comes_back_to_the_bit(values: list[float]) -> None:
    assert unpacked(packed(np.array(values, dtype=np.float32)), np.float32).tolist() == values


@given(PLACES)
def test_places_come_back_however_they_are_kept(places: list[int]) -> None:
    array = np.array(places, dtype=np.uint16)
    assert unpacked_places(packed_places(array)).tolist() == places
    assert unpacked_places(packed(array)).tolist() == places  # as priors of before have them


def test_many_places_are_a_bit_each() -> None:
    every = np.arange(0, BUCKETS, 2, dtype=np.uint16)
    assert len(packed_places(every)) < BUCKETS / 8 * 4 / 3 + 10
    assert packed_places(every[:3]) == packed(every[:3])
