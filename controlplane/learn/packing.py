"""Arrays as text in the learner's state: exact to the bit, and the same on every machine."""

import base64
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def packed(array: NDArray[Any]) -> str:
    """Base64 of the array's bytes, little-endian."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def unpacked(text: str, kind: type[T]) -> NDArray[T]:
    """Inverse of ``packed`` for a one-dimensional array of this type."""
    stored = np.frombuffer(base64.b64decode(text), dtype=np.dtype(kind).newbyteorder("<"))
    return stored.astype(kind)
