"""Label tasks as CSV: out to the tools that people have, and back with a column filled in.

A row is one answer under its blind key; what tells of tier, score or cost is never written.
Coming back, only ``decision_id``, ``answer`` and ``value`` are read, in any order of rows and
columns, whatever else a tool has added.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import IO
from uuid import UUID

from controlplane.audit.tasks import LETTERS, Task, Verdict
from controlplane.observe import DecisionKey
from dataplane.contract.errors import OperatorError
from dataplane.contract.records import millisecond

COLUMNS = ("decision_id", "answer", "prompt", "text", "value")
READ = ("decision_id", "answer", "value")
UNSURE = "unsure"
GRADES = {"good": 1.0, "bad": 0.0}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a cell that begins so
LONGEST_CELL = 1 << 27


class SheetError(OperatorError):
    """A line of a file that cannot be taken, with the remedy."""


@dataclass(frozen=True, slots=True)
class Graded:
    """The grades of one query, and the line on which they begin."""

    line: int
    decision: DecisionKey
    verdicts: tuple[Verdict, ...]


def write(tasks: Iterable[Task], file: IO[str]) -> None:
    """A header, and a row for each answer with its value left empty."""
    rows = csv.writer(file)  # RFC 4180: CRLF, so that a bare CR in a cell is quoted too
    rows.writerow(COLUMNS)
    for task in tasks:
        prompt = "\n\n".join(f"{said.get('role')}: {_words(said)}" for said in task.prompt)
        for answer in task.answers:
            cells = (str(task.decision_id), answer.key, prompt, answer.text)
            rows.writerow([*map(harmless, cells), ""])


def read(file: IO[str], name: str) -> list[Graded]:
    """The graded queries, in the order of their first lines; those left empty are left out.

    Raises ``SheetError`` at the first line that cannot be.
    """
    csv.field_size_limit(LONGEST_CELL)
    found: dict[UUID, dict[str, _Cell]] = {}
    for cell in _cells(file, name):
        answers = found.setdefault(cell.decision_id, {})
        if cell.answer in answers:
            raise SheetError(
                f"{name}:{cell.line}: answer '{cell.answer}' is graded on line "
                f"{answers[cell.answer].line} already: keep one of the two"
            )
        answers[cell.answer] = cell
    graded = (_graded(name, cells) for cells in found.values())
    return [each for each in graded if each is not None]


def harmless(cell: str) -> str:
    """The cell as text also to a spreadsheet; a number stays one.

    >>> harmless("=1+1"), harmless("-5"), harmless("7")
    ("'=1+1", '-5', '7')
    """
    return f"'{cell}" if cell.startswith(FORMULA) and _number(cell) is None else cell


@dataclass(frozen=True, slots=True)
class _Cell:
    line: int
    decision_id: UUID
    answer: str
    value: str


def _cells(file: IO[str], name: str) -> Iterator[_Cell]:
    for line, row in _rows(file, name):
        decision_id, answer, value = (row[column].strip() for column in READ)
        if len(answer) != 1 or answer not in LETTERS:
            raise SheetError(
                f"{name}:{line}: answer '{answer}' is no blind key: leave the column as exported"
            )
        yield _Cell(line, _decision(decision_id, f"{name}:{line}"), answer, value)


def _rows(file: IO[str], name: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Each row by column, with the line on which it begins."""
    first = file.readline()
    if not first.strip():
        raise SheetError(f"{name}:1: no header: give a file that `penstock label export` wrote")
    delimiter = max(",;\t", key=first.count)
    header = [column.strip().lower() for column in next(csv.reader([first], delimiter=delimiter))]
    _check(header, name)
    rows = csv.reader(file, delimiter=delimiter, strict=True)
    line = 2
    try:
        for row in rows:
            if row and len(row) != len(header):
                raise SheetError(
                    f"{name}:{line}: {len(row)} cells under {len(header)} columns: quote text that "
                    f"holds {delimiter!r}, quotes or line ends"
                )
            if row:
                yield line, dict(zip(header, row, strict=True))
            line = rows.line_num + 2
    except csv.Error as error:
        raise SheetError(f"{name}:{line}: not readable as CSV ({error}): save it anew") from error


def _check(header: Sequence[str], name: str) -> None:
    for column in READ:
        if column not in header:
            near = get_close_matches(column, header, n=1)
            hint = f'rename "{near[0]}"' if near else f"it has {', '.join(filter(None, header))}"
            raise SheetError(f'{name}:1: no column "{column}": {hint}, or export anew')
        if header.count(column) > 1:
            raise SheetError(f'{name}:1: two columns "{column}": delete one')


def _graded(name: str, cells: Mapping[str, _Cell]) -> Graded | None:
    """The row's verdicts; None where none was filled in."""
    first = min(cells.values(), key=lambda cell: cell.line)
    filled = [cell for cell in cells.values() if cell.value]
    if not filled:
        return None
    for cell in cells.values():
        if not cell.value:
            raise SheetError(
                f"{name}:{cell.line}: no value for answer '{cell.answer}', though another of its "
                f"query has one: give a number from 0 to 1, good, bad or {UNSURE}"
            )
    verdicts = (Verdict(key, _value(cell, name)) for key, cell in sorted(cells.items()))
    decision = DecisionKey(millisecond(first.decision_id), first.decision_id)
    return Graded(first.line, decision, tuple(verdicts))


def _value(cell: _Cell, name: str) -> float | None:
    word = cell.value.lower()
    if word == UNSURE:
        return None
    value = GRADES.get(word, _number(word))
    if value is None or not 0 <= value <= 1:
        raise SheetError(
            f"{name}:{cell.line}: value '{cell.value}': give a number from 0 to 1, good, bad or "
            f"{UNSURE}"
        )
    return value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _decision(text: str, place: str) -> UUID:
    try:
        found = UUID(text)
        millisecond(found)
    except ValueError:
        raise SheetError(
            f"{place}: decision_id '{text}' is none: leave the column as exported"
        ) from None
    return found


def _words(said: Mapping[str, object]) -> str:
    content = said.get("content")
    if isinstance(content, list):  # OpenAI's parts
        return "\n".join(str(part.get("text") or part.get("type")) for part in content)
    return str(content or "")
