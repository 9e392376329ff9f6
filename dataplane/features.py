"""Query text to features: what a strategy may see of a query.

Beginnings of words, pairs of short neighbours, shapes (how many words, options, numbers and
sentences) and the query's category, where somebody names one, are hashed into ``BUCKETS`` buckets.
No two of words, shapes and categories share one: what labels say of a category can be told apart.
Of a prompt that begins with solved examples only what follows them counts. The hash is CRC-32, the
same in every process and release; a change of anything here is a new ``FEATURE_VERSION``, since
logged decisions are replayed from their buckets.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

FEATURE_VERSION = 3
TEXT = 1 << 14  # the buckets of words and shapes
COARSE = 1 << 9  # the first of them are for shapes: no word falls on them
CATEGORIES = 1 << 8
BUCKETS = TEXT + CATEGORIES
MAX_CHARS = 20_000  # what comes before is not looked at: a long prompt must not stall the gateway
MAX_BUCKETS = 512
STEM = 5  # letters of a word that count; a pair counts where neither word has more

STEPS = {  # a shape has one feature for each of these numbers that it exceeds
    "question": (4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512),  # words
    "options": (4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256),  # words
    "numbers": (0, 1, 2, 3, 4, 5, 6, 8, 10, 14),
    "digits": (2, 4, 6, 8, 10, 12, 16, 20, 30),
    "sentences": (1, 2, 3, 4, 5, 6, 8),
}

_SOLVED = re.compile(r"answer:\s*\S[^\n]{0,99}\n[^\S\n]*\n", re.IGNORECASE)
_OPTION = re.compile(r"^[^\S\n]*\(?[A-J][.):]", re.MULTILINE)
_SENTENCE = re.compile(r"[.?!](?:\s|$)")
_WORD = re.compile(r"\d+|[^\W\d_]+|[-+*/^](?=\s*[\d(])")  # words, numbers, operators


@dataclass(frozen=True, slots=True)
class Features:
    """Hashed features of one query; each of its buckets weighs 1 / sqrt(number of buckets)."""

    chars: int
    buckets: tuple[int, ...]

    @property
    def weight(self) -> float:
        """The value that every bucket has, so that the vector has length 1."""
        return len(self.buckets) ** -0.5 if self.buckets else 0.0

    @property
    def category(self) -> int:
        """Which category it is in, 1 .. ``CATEGORIES``; 0 where nobody named one."""
        return max(0, self.buckets[-1] - TEXT + 1) if self.buckets else 0

    def compact(self) -> dict[str, Any]:
        """The form that a decision's record keeps."""
        return {"chars": self.chars, "buckets": list(self.buckets)}

    @classmethod
    def from_compact(cls, compact: Mapping[str, Any]) -> "Features":
        """Inverse of ``compact``."""
        return cls(int(compact["chars"]), tuple(int(bucket) for bucket in compact["buckets"]))


def extract(messages: Sequence[Mapping[str, Any]], category: str | None = None) -> Features:
    """Features of an OpenAI ``messages`` list; text parts count, other parts do not."""
    return of_text("\n".join(_texts(messages)), category)


def of_text(text: str, category: str | None = None) -> Features:
    """Features of one text, and of the category that it is said to be in."""
    asked = _asked(text[-MAX_CHARS:])
    words = [_word(each) for each in _WORD.findall(asked.lower())]
    buckets = {crc32(name.encode()) % COARSE for name in _shapes(asked, words)}
    if category:
        buckets.add(TEXT + crc32(category.encode()) % CATEGORIES)
    for value in _hashes(words):
        buckets.add(COARSE + value % (TEXT - COARSE))
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


def _asked(text: str) -> str:
    """What follows the last solved example, or all of it."""
    ends = [match.end() for match in _SOLVED.finditer(text)]
    return (text[ends[-1] :] if ends else "").strip() or text


def _word(token: str) -> str:
    """Numbers become their number of digits."""
    return f"#{len(token)}" if token.isdigit() else token


def _shapes(text: str, words: Sequence[str]) -> Iterator[str]:
    option = _OPTION.search(text)
    question = text[: option.start()] if option else text
    digits = [int(word[1:]) for word in words if word[0] == "#"]
    shape = {
        "question": len(question.split()),
        "options": len(text.split()) - len(question.split()),
        "numbers": len(digits),
        "digits": sum(digits),
        "sentences": len(_SENTENCE.findall(question)),
    }
    for name, steps in STEPS.items():
        yield from (f"{name}>{step}" for step in steps[: bisect_left(steps, shape[name])])


def _hashes(words: Sequence[str]) -> Iterator[int]:
    """Words and pairs together, so that a cap on buckets cuts both alike."""
    previous = ""
    for word in words:
        yield crc32(word[:STEM].encode())
        if len(previous) <= STEM >= len(word):
            yield crc32(f"{previous} {word}".encode())
        previous = word
