from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controlplane.evaluate.pairing import Wanted, pair
from controlplane.evaluate.recorded import read
from dataplane.contract.rule import Array
from tests.unit.controlplane.evaluate.tables import both, outcome, written


def hints(folder: Path, rows: list[dict[str, Any]]) -> Array:
    wanted = Wanted("small", "large")
    found = pair(read(written(folder / "a.jsonl", rows), wanted.columns), wanted).hints
    assert found is not None
    return found


def test_lengths_of_answers_and_how_others_fared_are_hints(tmp_path: Path) -> None:
    rows = [
        *both(1, 1.0, 1.0, output_tokens=9),
        *both(2, 0.0, 1.0, output_tokens=99),
        outcome(1, "other", 1.0, output_tokens=1),
        outcome(1, "another", 0.0, output_tokens=1),
        outcome(2, "other", 0.0, output_tokens=1),
    ]
    ten, hundred = np.log(10), np.log(100)
    assert hints(tmp_path, rows) == pytest.approx(
        np.array([[ten, ten, 0.5], [hundred, hundred, 0.0]])
    )


def test_what_is_not_known_of_every_query_is_no_hint(tmp_path: Path) -> None:
    rows = [
        *both(1, 1.0, 1.0, output_tokens=9),
        *both(2, 0.0, 1.0, output_tokens=None),
        outcome(1, "other", 1.0, output_tokens=1),
    ]
    assert hints(tmp_path, rows).shape == (2, 0)


def test_a_recording_without_either_hints_nothing(tmp_path: Path) -> None:
    assert hints(tmp_path, both(1, 1.0, 1.0)).shape == (1, 0)
