import hashlib
import re
from pathlib import Path

import pytest

from dataplane.contract.weights import ModelError, verify


def test_the_pinned_file_passes_in_either_case(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF weights")
    digest = hashlib.sha256(b"GGUF weights").hexdigest()
    assert verify(path, None) == verify(path, digest) == verify(path, digest.upper()) == digest


def test_another_file_is_refused_by_name_and_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF changed")
    with pytest.raises(ModelError, match=re.escape(str(path)) + r".*pinned is 00.*restore"):
        verify(path, "00")


def test_a_missing_file_is_refused_by_name_and_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    with pytest.raises(ModelError, match=re.escape(str(path)) + r".*No such file.*give the path"):
        verify(path, None)


def test_another_format_is_refused_by_name_and_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_bytes(b"<!doctype html>")
    with pytest.raises(ModelError, match=re.escape(str(path)) + r".*no GGUF file; .*download"):
        verify(path, None)
