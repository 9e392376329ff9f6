from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from controlplane.evaluate.recorded import RecordingError, find, read
from tests.unit.controlplane.evaluate.tables import both, written

ROWS = [*both(1, 1.0, 0.0, answer="18"), *both(2, 0.0, 1.0, answer="3.50")]
WANTED = ("query_id", "prompt", "model", "correct", "cost_usd", "answer")


def test_all_three_forms_read_alike(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    parquet.write_table(table, tmp_path / "a.parquet")
    csv.write_csv(table, tmp_path / "a.csv")
    written(tmp_path / "a.jsonl", ROWS)
    for suffix in ("parquet", "csv", "jsonl"):
        recording = read(tmp_path / f"a.{suffix}", WANTED)
        assert recording.texts("answer") == ["18", "18", "3.50", "3.50"]
        assert recording.numbers("correct").tolist() == [1, 0, 0, 1]
        assert len(recording) == 4


def test_only_wanted_columns_are_read_and_all_are_known(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    recording = read(tmp_path / "a.parquet", ("model",))
    assert recording.table.column_names == ["model"]
    assert recording.has("prompt")


def test_empty_cells_are_nan_and_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("model,correct\nsmall,1\n,\n")
    recording = read(tmp_path / "a.csv", ("model", "correct"))
    assert recording.texts("model") == ["small", None]
    assert np.isnan(recording.numbers("correct")[1])


def test_a_prompt_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('model,prompt\nsmall,"one\ntwo"\n')
    assert read(tmp_path / "a.csv", ("prompt",)).texts("prompt") == ["one\ntwo"]


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"query_id": "q1", "promt": "Hello"}])
    with pytest.raises(RecordingError) as refused:
        read(path, WANTED).need("prompt")
    assert str(refused.value) == (
        f'{path}: no column "prompt"; its columns are query_id, promt; did you mean "promt"?'
    )


def test_a_column_of_words_is_no_number(tmp_path: Path) -> None:
    recording = read(written(tmp_path / "a.jsonl", ROWS), WANTED)
    with pytest.raises(RecordingError, match='column "prompt" is not numeric'):
        recording.numbers("prompt")


def test_where_keeps_the_named_values_and_says_what_else_there_is(tmp_path: Path) -> None:
    recording = read(written(tmp_path / "a.jsonl", ROWS), WANTED)
    assert recording.where({"model": ["small"]}).texts("model") == ["small", "small"]
    assert len(recording.where({"model": ["small", "large"]})) == 4
    with pytest.raises(RecordingError, match="no row has model = huge; there are large, small"):
        recording.where({"model": ["huge"]})


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.parquet", b"PAR1 no"), ("a.jsonl", b"{"), ("a.csv", b""), ("a.csv", b"a,b\n1\n")],
)
def test_a_broken_file_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match="not a readable") as refused:
        read(tmp_path / name, WANTED)
    assert "\n" not in str(refused.value)


def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read \.xlsx; give \.csv, \.jsonl"):
        read(tmp_path / "a.xlsx", WANTED)


def test_files_are_found_here_or_in_the_data_folder(tmp_path: Path) -> None:
    path = written(tmp_path / "routed.jsonl", ROWS)
    assert find(str(path), None) == path
    assert find("routed.jsonl", tmp_path) == path
    assert find("routed", tmp_path) == path
    with pytest.raises(RecordingError, match=r'it has routed\.jsonl; did you mean "routed\.jsonl"'):
        find("ruted.jsonl", tmp_path)
    with pytest.raises(RecordingError, match="--data or PENSTOCK_DATA"):
        find("routed", None)
    with pytest.raises(RecordingError, match="it has no recording"):
        find("routed", tmp_path / "nowhere")
