"""A recording: a file with one row per (query, model), its columns checked when asked for."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, json, parquet

from dataplane.contract.errors import OperatorError
from dataplane.contract.rule import Array

TEXTS = ("query_id", "prompt", "model", "category", "answer")
BLOCK_BYTES = 1 << 26  # a JSON line must fit into a block


class RecordingError(OperatorError):
    """The file is not what a replay needs."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A table of outcomes; ``names`` are all the columns of its file, read or not."""

    path: Path
    names: tuple[str, ...]
    table: Any  # pyarrow.Table, which is untyped

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.names

    def texts(self, name: str) -> list[str | None]:
        """A column as text, None where empty."""
        column: list[str | None] = self._column(name).cast(pa.string()).to_pylist()
        return column

    def numbers(self, name: str) -> Array:
        """A column as numbers (N,), NaN where empty; refuses one that is not numeric."""
        column = self._column(name)
        try:
            numbers = column.cast(pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise RecordingError(
                f'{self.path}: column "{name}" is not numeric (it holds {column.type})'
            ) from None
        return np.array(numbers.to_numpy(), dtype=np.float64)

    def where(self, chosen: Mapping[str, Collection[str]]) -> "Recording":
        """Only the rows that hold one of the chosen values in each of these columns."""
        kept = self
        for name, values in chosen.items():
            held = kept._column(name).cast(pa.string())
            mask = pc.is_in(held, value_set=pa.array(sorted(values), pa.string()))
            kept = Recording(kept.path, kept.names, kept.table.filter(mask))
            if not len(kept):
                found = listed(filter(None, pc.unique(held).to_pylist()))
                raise RecordingError(
                    f"{self.path}: no row has {name} = {', '.join(sorted(values))}; "
                    f"there are {found}"
                )
        return kept

    def need(self, *names: str, remedy: str = "") -> str:
        """The first of these columns that there is; ``RecordingError`` names them if none is."""
        for name in names:
            if self.has(name):
                return name
        wanted = " or ".join(f'"{name}"' for name in names)
        meant = remedy or did_you_mean(names[0], self.names)
        raise RecordingError(
            f"{self.path}: no column {wanted}; its columns are {', '.join(self.names)}{meant}"
        )

    def _column(self, name: str) -> Any:
        return self.table.column(self.need(name))


def find(name: str, data: Path | None) -> Path:
    """The file of that name, here or in the data folder, where its suffix may be left out."""
    folders = [Path(), *([data] if data else [])]
    for path in (folder / f"{name}{suffix}" for folder in folders for suffix in ("", *READERS)):
        if path.is_file():
            return path
    if data is None:
        raise RecordingError(
            f"{name}: no such file; give a path, or name its folder with --data or PENSTOCK_DATA"
        )
    there = [path.name for path in data.glob("*") if path.suffix in READERS]
    found = f"it has {listed(there)}" if there else "it has no recording"
    raise RecordingError(
        f"{name}: no such file here or in {data}; {found}{did_you_mean(name, there)}"
    )


def read(path: Path, wanted: Collection[str]) -> Recording:
    """The wanted columns of a Parquet, CSV or JSONL file, where it has them."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise RecordingError(f"{path}: cannot read {path.suffix or 'this'}; give {listed(READERS)}")
    try:
        return reader(path, wanted)
    except (OSError, pa.ArrowException) as error:
        why = str(error).splitlines()[0]
        raise RecordingError(f"{path}: not a readable {path.suffix[1:]} file ({why})") from error


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A closing question, or nothing where nothing is near."""
    near = get_close_matches(name, list(names), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def listed(names: Iterable[str], most: int = 24) -> str:
    """Names in order, the first few of many."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def _read_parquet(path: Path, wanted: Collection[str]) -> Recording:
    names = tuple(parquet.read_schema(path).names)
    table = parquet.read_table(path, columns=[name for name in names if name in wanted])
    return Recording(path, names, table)


def _read_csv(path: Path, wanted: Collection[str]) -> Recording:
    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(TEXTS, pa.string()), strings_can_be_null=True
        ),
    )
    return _chosen(path, table, wanted)


def _read_json(path: Path, wanted: Collection[str]) -> Recording:
    table = json.read_json(path, read_options=json.ReadOptions(block_size=BLOCK_BYTES))
    return _chosen(path, table, wanted)


def _chosen(path: Path, table: Any, wanted: Collection[str]) -> Recording:
    names = tuple(table.column_names)
    return Recording(path, names, table.select([name for name in names if name in wanted]))


READERS: Mapping[str, Callable[[Path, Collection[str]], Recording]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
}
