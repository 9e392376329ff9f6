import math
from pathlib import Path

import pytest

from dataplane.sandbox.model_card import Graded, Reader, accuracy, auroc, card, main
from dataplane.sandbox.tasks import DIFFICULTIES, Query


def graded(right: bool, logprob: float, difficulty: int = 1) -> Graded:
    return Graded(Query("What is 1 + 1?", "2", "sum", difficulty), right, logprob)


def test_accuracy_is_the_share_answered_right() -> None:
    assert accuracy([graded(True, -1), graded(False, -1), graded(True, -2)]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("right", "wrong", "area"),
    [
        ([-1, -2], [-3, -4], 1.0),
        ([-3, -4], [-1, -2], 0.0),
        ([-1, -3], [-2, -4], 0.75),
        ([-1], [-1], 0.5),
    ],
)
def test_auroc_is_the_share_of_pairs_in_order(
    right: list[float], wrong: list[float], area: float
) -> None:
    sample = [graded(True, value) for value in right] + [graded(False, value) for value in wrong]
    assert auroc(sample) == pytest.approx(area)


def test_auroc_of_one_class_is_unknown() -> None:
    assert math.isnan(auroc([graded(True, -1)]))


def test_the_card_says_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    sample = [graded(right, -1, level) for level in DIFFICULTIES for right in (True, False)]
    text = card(path, {"seed": 4}, sample)
    assert "seed 4" in text
    assert "| 5 | What is 1 + 1? | 2 | 0.500 | 0.500 |" in text
    assert "easy 0.500" in text


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match="make train"):
        Reader(path)


def test_the_command_names_a_missing_model_and_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "absent.gguf"
    with pytest.raises(SystemExit, match="2"):
        main(["--model", str(path)])
    last = capsys.readouterr().err.splitlines()[-1]
    assert str(path) in last
    assert "make train" in last
