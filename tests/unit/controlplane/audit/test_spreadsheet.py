"""Label tasks as CSV: what goes out comes back, and what cannot be is refused by its line."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.audit import spreadsheet
from controlplane.audit.spreadsheet import Graded, SheetError
from controlplane.audit.tasks import BlindAnswer, Task, Verdict
from controlplane.observe import DecisionKey
from dataplane.contract.records import millisecond
from tests.traffic import decision_id

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)
HEADER = "decision_id,answer,value\n"
ID, OTHER = decision_id(1), decision_id(2)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
GRADE = st.one_of(st.none(), st.floats(0, 1))
GRADED_TASKS = st.lists(
    st.tuples(WORDS, st.lists(st.tuples(WORDS, GRADE), min_size=1, max_size=3)), max_size=5
)


def task(number: int, prompt: str, *answers: str) -> Task:
    id_ = decision_id(number)
    shown = tuple(BlindAnswer(key, text) for key, text in zip("abc", answers, strict=False))
    return Task(id_, millisecond(id_), [{"role": "user", "content": prompt}], shown, UNTIL)


def read(text: str) -> list[Graded]:
    return spreadsheet.read(io.StringIO(text, newline=""), "labels.csv")


def filled(tasks: list[Task], grades: list[list[float | None]], delimiter: str = ",") -> str:
    """What a tool makes of the written file: all cells quoted, columns and rows in its order."""
    out, back = io.StringIO(newline=""), io.StringIO(newline="")
    spreadsheet.write(tasks, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    values = [value for each in grades for value in each]
    tool = csv.DictWriter(
        back, ["value", "annotator", *spreadsheet.COLUMNS[:-1]], delimiter=delimiter,
        quoting=csv.QUOTE_ALL,
    )  # fmt: skip
    tool.writeheader()
    for row, value in zip(rows, values, strict=True):
        word = spreadsheet.UNSURE if value is None else repr(value)
        tool.writerow(row | {"value": word, "annotator": "7"})
    return back.getvalue()


@given(GRADED_TASKS, st.sampled_from(",;\t"))
def test_what_went_out_comes_back_graded(
    written: list[tuple[str, list[tuple[str, float | None]]]], delimiter: str
) -> None:
    tasks = [
        task(number, prompt, *(text for text, _ in answers))
        for number, (prompt, answers) in enumerate(written)
    ]
    grades = [[value for _, value in answers] for _, answers in written]
    found = read(filled(tasks, grades, delimiter))
    assert [each.decision for each in found] == [
        DecisionKey(each.at, each.decision_id) for each in tasks
    ]
    assert [[verdict.value for verdict in each.verdicts] for each in found] == grades


def test_nothing_is_written_but_what_a_blind_labeller_sees() -> None:
    out = io.StringIO()
    spreadsheet.write([task(1, "3 + 4 =", "7", "=2+5")], out)
    assert out.getvalue() == (
        "decision_id,answer,prompt,text,value\r\n"
        f"{ID},a,user: 3 + 4 =,7,\r\n{ID},b,user: 3 + 4 =,'=2+5,\r\n"
    )


@given(WORDS)
def test_a_spreadsheet_never_runs_a_cell(words: str) -> None:
    cell = spreadsheet.harmless(words)
    assert not cell.startswith(spreadsheet.FORMULA) or float(cell) is not None


def test_a_value_may_be_a_word_and_rows_may_be_apart_or_empty() -> None:
    text = f"{ID},b,bad\n{OTHER},a,\n\n{ID},a,Good\n{OTHER},b,\n"
    assert read(HEADER + text) == [
        Graded(2, DecisionKey(millisecond(ID), ID), (Verdict("a", 1.0), Verdict("b", 0.0)))
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r":1: no header: give a file that"),
        ("decision_id,answer,vlaue\n", r':1: no column "value": rename "vlaue"'),
        ("id,key\n", r':1: no column "decision_id": .*export anew'),
        ("decision_id,answer,value,value\n", r':1: two columns "value": delete one'),
        (HEADER + f"{ID},a,1.5\n", r":2: value '1.5': give a number from 0 to 1"),
        (HEADER + f"{ID},a,-0.1\n", r":2: value '-0.1'"),
        (HEADER + f"{ID},a,nan\n", r":2: value 'nan'"),
        (HEADER + f'{ID},a,"0,5"\n', r":2: value '0,5'"),
        (HEADER + f"{ID},a,fine\n", r":2: value 'fine'.*good, bad or unsure"),
        (HEADER + f"{ID},A,1\n", r":2: answer 'A' is no blind key"),
        (HEADER + "nonsense,a,1\n", r":2: decision_id 'nonsense' is none"),
        (HEADER + f"{ID},a,1\n{OTHER},a,1\n{ID},a,1\n", r":4: .*graded on line 2 already"),
        (HEADER + f"{ID},a,1\n{ID},b,\n", r":3: no value for answer 'b'"),
        (HEADER + f"{ID},a,1,2\n", r":2: 4 cells under 3 columns"),
        ("text," + HEADER + f'"one\ntwo",{ID},a,1\nx,{ID},b,2\n', r":4: value '2'"),
        (HEADER + f'{ID},a,"1"x\n', r":2: not readable as CSV"),
    ],
)
def test_what_cannot_be_is_refused_by_its_line(text: str, says: str) -> None:
    with pytest.raises(SheetError, match=f"^labels.csv{says}") as refused:
        read(text)
    assert "\n" not in str(refused.value)


@given(st.text(st.sampled_from('abu1.5,;"\n\t\r -=') | st.characters(), max_size=60))
def test_whatever_comes_is_read_within_bounds_or_refused(text: str) -> None:
    for found in (text, HEADER + text, f"{HEADER}{ID},{text}"):
        with suppress(SheetError):
            for graded in read(found):
                assert all(v.value is None or 0 <= v.value <= 1 for v in graded.verdicts)
