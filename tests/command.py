"""`penstock` as an operator runs it, in this process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from controlplane.cli import main
from controlplane.database import Database

EXAMPLE = Path(__file__).parents[1] / "penstock.example.yaml"
Run: TypeAlias = Callable[..., str]


def penstock(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs `penstock` on a database, by the example's configuration; what it printed.

    With another exit ``code`` than 0 what it said of the error.
    """
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("PENSTOCK_CONFIG", str(EXAMPLE))
    monkeypatch.setenv("DATABASE_URL", database.url)
    url = database.url_for("penstock_controlplane")
    monkeypatch.setenv("DATABASE_URL_CONTROLPLANE", url)

    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["penstock", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, said = capsys.readouterr()
        assert ended.value.code == code, said
        return said if code else out

    return run
