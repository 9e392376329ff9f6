import stat
from pathlib import Path

import pytest

from dataplane import snapshot


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "policy.json"
    snapshot.write(path, "one")
    snapshot.write(path, "two \u2713")
    assert snapshot.read(path) == "two \u2713"
    assert [entry.name for entry in path.parent.iterdir()] == ["policy.json"]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    snapshot.write(tmp_path / "keys", "secret")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


def test_what_is_absent_is_none(tmp_path: Path) -> None:
    assert snapshot.read(tmp_path / "nothing") is None


@pytest.mark.parametrize("cut", [0, 1, 30, -1])
def test_what_is_torn_is_none(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "policy.json"
    snapshot.write(path, "whole")
    path.write_bytes(path.read_bytes()[:cut])
    assert snapshot.read(path) is None


def test_what_was_changed_is_none(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    snapshot.write(path, "whole")
    path.write_text(path.read_text().replace("whole", "other"))
    assert snapshot.read(path) is None


def test_what_a_crash_left_half_written_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    snapshot.write(path, "good")
    (tmp_path / ".policy.json.new").write_text("{")
    assert snapshot.read(path) == "good"
    snapshot.write(path, "better")
    assert snapshot.read(path) == "better"


def test_where_it_cannot_be_written_the_old_one_stands(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    snapshot.write(path, "good")
    (tmp_path / ".policy.json.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        snapshot.write(path, "better")
    assert snapshot.read(path) == "good"
