"""The sandbox's queries: short text tasks in five graded difficulties, each with one right answer.

A task is a *kind* (sum, sort, capital ..), an *argument* (``"47 + 85"``) and a phrasing of it.
Training never sees a held-out problem: the split hashes kind and argument, whatever the phrasing
and the order of the operands. Capitals are the exception: a closed set, learned by heart.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from zlib import crc32

from dataplane.sandbox.capitals import CAPITALS

DIFFICULTIES = (1, 2, 3, 4, 5)
HELD_OUT_IN = 10
"""One problem in this many is held out."""

MIXES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "easy": (0.25, 0.25, 0.22, 0.16, 0.12),
        "hard": (0.10, 0.12, 0.25, 0.27, 0.26),
    }
)
"""Weights over the difficulties: the traffic before and after the demo's change of mix."""


@dataclass(frozen=True, slots=True)
class Query:
    """One task: what is asked, its right answer, and how hard it is (1 to 5)."""

    text: str
    answer: str
    kind: str
    difficulty: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of task: how its argument looks, how it is asked, how it is answered."""

    name: str
    argument: str
    phrasings: tuple[str, ...]
    answer: Callable[[str], str]

    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """One pattern per phrasing; its only group is the argument."""
        halves = (phrasing.split("{}") for phrasing in self.phrasings)
        return tuple(
            re.compile(f"{re.escape(before)}({self.argument}){re.escape(after)}", re.ASCII)
            for before, after in halves
        )


def _integers(argument: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", argument)]


def _sum(argument: str) -> str:
    return str(sum(_integers(argument)))


def _difference(argument: str) -> str:
    first, second = _integers(argument)
    return str(first - second)


def _product(argument: str) -> str:
    return str(prod(_integers(argument)))


def _sort(argument: str) -> str:
    return " ".join(str(number) for number in sorted(_integers(argument)))


def _largest(argument: str) -> str:
    return str(max(_integers(argument)))


_NUMBER = r"\d{1,6}"
_ARITHMETIC = ("What is {}?", "Compute {}.")
_WORD = "[a-z]{2,16}"

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("capital", "|".join(CAPITALS), ("Capital of {}?",), CAPITALS.__getitem__),
            Kind("sum", rf"{_NUMBER}(?: \+ {_NUMBER}){{1,3}}", _ARITHMETIC, _sum),
            Kind("difference", f"{_NUMBER} - {_NUMBER}", _ARITHMETIC, _difference),
            Kind("product", rf"{_NUMBER} \* {_NUMBER}", _ARITHMETIC, _product),
            Kind("sort", f"{_NUMBER}(?: {_NUMBER}){{1,11}}", ("Sort: {}", "Order: {}"), _sort),
            Kind("largest", f"{_NUMBER}(?: {_NUMBER}){{1,11}}", ("Largest of {}?",), _largest),
            Kind("reverse", _WORD, ("Reverse: {}", "Backwards: {}"), lambda word: word[::-1]),
        )
    }
)
_PATTERNS = tuple((pattern, kind) for kind in KINDS.values() for pattern in kind.patterns())


def _number(rng: random.Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1), 10**digits)


def _terms(operator: str, *digits: int) -> Callable[[random.Random], str]:
    def draw(rng: random.Random) -> str:
        return f" {operator} ".join(str(_number(rng, count)) for count in digits)

    return draw


def _positive_difference(digits: int) -> Callable[[random.Random], str]:
    def draw(rng: random.Random) -> str:
        low, high = sorted((_number(rng, digits), _number(rng, digits)))
        return f"{high} - {low}"

    return draw


def _list(count: int, digits: int) -> Callable[[random.Random], str]:
    def draw(rng: random.Random) -> str:
        return " ".join(str(_number(rng, digits)) for _ in range(count))

    return draw


def _word(length: int) -> Callable[[random.Random], str]:
    def draw(rng: random.Random) -> str:
        letters = ("aeiou", "bdfgklmnprstvz")
        start = rng.randrange(2)
        return "".join(rng.choice(letters[(start + i) % 2]) for i in range(length))

    return draw


def _country(rng: random.Random) -> str:
    return rng.choice(tuple(CAPITALS))


@dataclass(frozen=True, slots=True)
class Family:
    """Tasks of one kind and size: their difficulty, and their share of the training.

    The difficulty is graded by how often the shipped model is right (MODEL_CARD.md), so a longer
    word to reverse may stand beside a product: kind and size show it, but not entirely.
    """

    difficulty: int
    kind: str
    draw: Callable[[random.Random], str]
    practice: float


FAMILIES = (
    Family(1, "capital", _country, 3),
    Family(1, "largest", _list(4, 1), 1),
    Family(1, "sort", _list(4, 1), 2),
    Family(1, "reverse", _word(4), 2),
    Family(4, "sum", _terms("+", 2, 1), 6),
    Family(2, "largest", _list(4, 2), 2),
    Family(2, "sort", _list(6, 1), 3),
    Family(2, "reverse", _word(6), 3),
    Family(4, "sum", _terms("+", 2, 2), 18),
    Family(4, "difference", _terms("-", 2, 1), 4),
    Family(3, "sort", _list(5, 2), 3),
    Family(2, "reverse", _word(9), 3),
    Family(5, "difference", _terms("-", 2, 2), 14),
    Family(4, "product", _terms("*", 2, 1), 8),
    Family(3, "sort", _list(6, 2), 3),
    Family(4, "reverse", _word(12), 3),
    Family(5, "sum", _terms("+", 3, 3), 6),
    Family(5, "difference", _terms("-", 3, 3), 4),
    Family(3, "sort", _list(6, 3), 3),
    Family(5, "sum", _terms("+", 2, 2, 2), 3),
    Family(5, "product", _terms("*", 2, 2), 3),
)
_BY_DIFFICULTY: Mapping[int, tuple[Family, ...]] = MappingProxyType(
    {
        level: tuple(family for family in FAMILIES if family.difficulty == level)
        for level in DIFFICULTIES
    }
)
_PRACTICE = tuple(family.practice for family in FAMILIES)


def _parse(text: str) -> tuple[Kind, str] | None:
    for pattern, kind in _PATTERNS:
        if match := pattern.fullmatch(text.strip()):
            return kind, match[1]
    return None


def _is_held_out(kind: Kind, argument: str) -> bool:
    problem = " ".join((kind.name, *sorted(argument.split())))
    return kind.name != "capital" and crc32(problem.encode()) % HELD_OUT_IN == 0


def is_held_out(text: str) -> bool:
    """Whether the problem in `text` is one that training never saw; False if it is no task."""
    parsed = _parse(text)
    return parsed is not None and _is_held_out(*parsed)


def _draw(rng: random.Random, family: Family, held_out: bool | None) -> Query:
    kind, argument = KINDS[family.kind], family.draw(rng)
    if kind.name != "capital" and held_out is not None:
        while _is_held_out(kind, argument) is not held_out:
            argument = family.draw(rng)
    text = rng.choice(kind.phrasings).format(argument)
    return Query(text, kind.answer(argument), kind.name, family.difficulty)


def draw_query(rng: random.Random, difficulty: int, *, held_out: bool | None = None) -> Query:
    """Draw one query of a difficulty (1 to 5).

    `held_out` True draws held-out problems only (and capitals), False those of training only,
    None either.
    """
    return _draw(rng, rng.choice(_BY_DIFFICULTY[difficulty]), held_out)


def draw_practice(rng: random.Random) -> Query:
    """Draw one query to train on, each family by its share."""
    (family,) = rng.choices(FAMILIES, _PRACTICE)
    return _draw(rng, family, held_out=False)


def draw_from_mix(rng: random.Random, mix: str, *, held_out: bool | None = None) -> Query:
    """Draw one query, its difficulty by the weights of `MIXES[mix]`."""
    (difficulty,) = rng.choices(DIFFICULTIES, MIXES[mix])
    return draw_query(rng, difficulty, held_out=held_out)


def solve(text: str) -> str | None:
    """Give the right answer to any query text; None if it is no sandbox task."""
    parsed = _parse(text)
    if parsed is None:
        return None
    kind, argument = parsed
    return kind.answer(argument)


def kind_of(text: str) -> str | None:
    """The name of the kind of task that a text is; None if it is none."""
    parsed = _parse(text)
    return None if parsed is None else parsed[0].name


def is_correct(text: str, answer: str) -> bool:
    """Whether `answer` is the right one, surrounding whitespace apart."""
    return solve(text) == answer.strip()
