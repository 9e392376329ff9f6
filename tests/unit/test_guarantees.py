"""Each promise of docs/guarantees.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?!promise|---).*\|$", re.MULTILINE)


def test_every_promise_names_tests_that_exist() -> None:
    rows = ROW.findall((ROOT / "docs" / "guarantees.md").read_text("utf-8"))
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`([\w/]*test_\w+\.py)`", row)
        assert named, row
        folder = ROOT
        for name in named:
            folder = (ROOT / name).parent if "/" in name else folder
            assert (folder / Path(name).name).is_file(), f"{name}: {row}"
