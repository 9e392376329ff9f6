"""Query text to features: what a strategy may see of a query.

Words, neighbouring words and a few shapes (length, how many numbers, how long they are) are
hashed into ``BUCKETS`` buckets. The hash is CRC-32, the same in every process and release; a
change of anything here is a new ``FEATURE_VERSION``, since logged decisions are replayed from
their buckets.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

FEATURE_VERSION = 1
BUCKETS = 1 << 14
MAX_CHARS = 20_000  # what follows is not looked at: a long prompt must not stall the gateway
MAX_BUCKETS = 512

_TOKEN = re.compile(r"\d+|[^\W\d_]+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Features:
    """Hashed features of one query; each of its buckets weighs 1 / sqrt(number of buckets)."""

    chars: int
    buckets: tuple[int, ...]

    @property
    def weight(self) -> float:
        """The value that every bucket has, so that the vector has length 1."""
        return len(self.buckets) ** -0.5 if self.buckets else 0.0

    def compact(self) -> dict[str, Any]:
        """The form that a decision's record keeps."""
        return {"chars": self.chars, "buckets": list(self.buckets)}

    @classmethod
    def from_compact(cls, compact: Mapping[str, Any]) -> "Features":
        """Inverse of ``compact``."""
        return cls(int(compact["chars"]), tuple(int(bucket) for bucket in compact["buckets"]))


def extract(messages: Sequence[Mapping[str, Any]]) -> Features:
    """Features of an OpenAI ``messages`` list; text parts count, other parts do not."""
    text = "\n".join(_texts(messages))
    return of_text(text)


def of_text(text: str) -> Features:
    """Features of one text."""
    buckets: dict[int, None] = {}
    for name in _names(text, _TOKEN.findall(text[:MAX_CHARS])):
        buckets[crc32(name.encode()) % BUCKETS] = None
        if len(buckets) == MAX_BUCKETS:
            break
    return Features(len(text), tuple(sorted(buckets)))


def _texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from (
                part["text"]
                for part in content
                if isinstance(part, Mapping) and isinstance(part.get("text"), str)
            )


def _shape(token: str) -> str:
    """Numbers become their number of digits, words their lower case."""
    return f"#{len(token)}" if token.isdigit() else token.lower()


def _names(text: str, matches: Sequence[str]) -> Iterator[str]:
    tokens = [_shape(match) for match in matches]
    digits = [len(match) for match in matches if match.isdigit()]
    numbers = min(len(digits), 20)
    yield f"length:{len(text).bit_length()}"
    yield f"numbers:{numbers}"
    yield f"digits:{min(sum(digits), 60)}"
    yield f"widest:{max(digits, default=0)}"
    yield f"opening:{' '.join(tokens[:2])}:{numbers}"
    yield from _interleave(tokens)


def _interleave(tokens: Sequence[str]) -> Iterable[str]:
    """Words and neighbouring pairs together, so that a cap on buckets cuts both alike."""
    previous = ""
    for token in tokens:
        yield f"w:{token}"
        yield f"p:{previous} {token}"
        previous = token
