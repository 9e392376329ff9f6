"""The benchmark of the local tier on a model of a few kilobytes."""

import json
from pathlib import Path

import pytest

from tests.benchmarks import local_tier
from tests.tiny_model import Shape


def test_an_engine_is_measured_as_it_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = Shape(64, 128, 1, 4, 2, local_tier.CONTEXT, words=500, quantised=True)
    monkeypatch.setitem(local_tier.SHAPES, "1b", small)
    monkeypatch.setattr(local_tier, "REPEATS", 2)
    assert local_tier.main(["--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    value = {name.removeprefix("1b_layers0_"): each["value"] for name, each in figures.items()}
    assert value["gpu_bytes"] == 0
    assert all(each > 0 for name, each in value.items() if name != "gpu_bytes")
    assert "| first_token_64 |" in capsys.readouterr().err
