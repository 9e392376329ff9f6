"""Arrays as text in the learner's state: exact to the bit, and the same on every machine."""

import base64
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
BITS = "bits:"


def packed(array: NDArray[Any]) -> str:
    """Base64 of the array's bytes, little-endian."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def unpacked(text: str, kind: type[T]) -> NDArray[T]:
    """Inverse of ``packed`` for a one-dimensional array of this type."""
    stored = np.frombuffer(base64.b64decode(text), dtype=np.dtype(kind).newbyteorder("<"))
    return stored.astype(kind)


def packed_places(places: NDArray[np.uint16]) -> str:
    """Ascending places, each once: as bits, one for each place there is, where that is shorter."""
    bits = np.packbits(np.isin(np.arange(int(places.max(initial=0)) + 1), places))
    return min(packed(places), BITS + packed(bits), key=len)


def unpacked_places(text: str) -> NDArray[np.uint16]:
    """Inverse of ``packed_places``."""
    if not text.startswith(BITS):
        return unpacked(text, np.uint16)
    bits = np.unpackbits(unpacked(text.removeprefix(BITS), np.uint8))
    return np.flatnonzero(bits).astype(np.uint16)
