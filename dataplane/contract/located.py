"""YAML in which every key and value has a place, so that an error can say where it is.

A subset of YAML 1.1: mappings, lists and scalars, without anchors, merges or tags. Scalars may
name environment variables: ``${VAR}``, ``${VAR:-default}``, ``${VAR:?message}``; ``$$`` is a
dollar. An unquoted value is read as YAML reads it after the substitution (``${PORT}`` is a
number); an empty one stays an empty string. Within ``{...}`` a variable must stand in quotes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

Loc: TypeAlias = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^}]*))?\}|(\{))")


class Place(NamedTuple):
    """Line and column, counted from 1."""

    line: int
    column: int

    @classmethod
    def of(cls, mark: yaml.Mark | None) -> "Place":
        """The place of a YAML mark."""
        return cls(mark.line + 1, mark.column + 1) if mark else cls(1, 1)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where in the file, where in the document, what, and the remedy."""

    place: Place
    loc: Loc
    message: str

    def __str__(self) -> str:
        words = [spell(self.loc), self.message] if self.loc else [self.message]
        return f"{self.place.line}:{self.place.column}: {': '.join(words)}"


def spell(loc: Loc) -> str:
    """``tiers[1].price`` for ("tiers", 1, "price")."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return "".join(parts).removeprefix(".")


@dataclass(slots=True)
class Located:
    """A document's data, the places of its keys and values, and what was wrong with its text."""

    data: Any = None
    keys: dict[Loc, Place] = field(default_factory=dict)
    values: dict[Loc, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, loc: Loc) -> Place:
        """The place of the value at ``loc``, or of the nearest one around it."""
        while loc and loc not in self.values:
            loc = loc[:-1]
        return self.values.get(loc, Place(1, 1))


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]  # as its stubs are
            raise ComposerError(None, None, "aliases are not supported: write the value out", mark)
        return super().compose_node(parent, index)


class _Reader:
    def __init__(self, loader: _Loader, environ: Mapping[str, str]) -> None:
        self._loader = loader
        self._environ = environ
        self.document = Located()

    def read(self, node: yaml.Node, at: Loc = ()) -> Any:
        self.document.values[at] = Place.of(node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*at, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, at)

    def _mapping(self, node: yaml.MappingNode, at: Loc) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            loc, place = (*at, name), Place.of(key.start_mark)
            if name in found:
                first = self.document.keys[loc].line
                self._problem(place, loc, f"given twice, first in line {first}; keep one")
                continue
            self.document.keys[loc] = place
            found[name] = self.read(value, loc)
        return found

    def _scalar(self, node: yaml.ScalarNode, at: Loc) -> Any:
        if "$" in node.value:
            node = self._substituted(node, at)
        try:
            return self._loader.construct_object(node)
        except (ConstructorError, ValueError) as error:
            what = getattr(error, "problem", None) or error
            self._problem(Place.of(node.start_mark), at, f"cannot be read: {what}")
            return None

    def _substituted(self, node: yaml.ScalarNode, at: Loc) -> yaml.ScalarNode:
        place = Place.of(node.start_mark)
        value = _VARIABLE.sub(lambda found: self._variable(found, place, at), node.value)
        tag = node.tag
        if value and node.style is None:
            implicit = (True, False)
            tag = self._loader.resolve(yaml.ScalarNode, value, implicit)  # type: ignore[no-untyped-call]  # as its stubs are
        return yaml.ScalarNode(tag, value, node.start_mark, node.end_mark, node.style)

    def _variable(self, found: re.Match[str], place: Place, at: Loc) -> str:
        dollar, name, operator, operand, unfinished = found.groups()
        if dollar:
            return "$"
        if unfinished:
            self._problem(place, at, "unfinished ${...}; write $$ for a dollar")
            return ""
        value = self._environ.get(name)
        if value or (value is not None and operator is None):
            return value
        if operator == "-":
            return str(operand)
        remedy = operand or f"set it, or write ${{{name}:-default}}"
        self._problem(place, at, f"{name} is not set in the environment: {remedy}")
        return ""

    def _problem(self, place: Place, at: Loc, message: str) -> None:
        self.document.problems.append(Problem(place, at, message))


def read(text: str, environ: Mapping[str, str]) -> Located:
    """Read one YAML document; what is wrong with its text is in the result's ``problems``."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        reader = _Reader(loader, environ)
        reader.document.data = {} if root is None else reader.read(root)
    except yaml.MarkedYAMLError as error:
        words = " ".join(filter(None, (error.problem, error.context)))
        return _unreadable(Place.of(error.problem_mark or error.context_mark), words)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return _unreadable(Place(line, 1), f"holds a character that YAML refuses: {error.reason}")
    except RecursionError:
        return _unreadable(Place(1, 1), "is nested too deeply")
    return reader.document


def _unreadable(place: Place, why: str) -> Located:
    return Located(problems=[Problem(place, (), why)])
