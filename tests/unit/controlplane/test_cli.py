import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import pytest

from controlplane.cli import main

Ran: TypeAlias = tuple[int, str, str]
Run: TypeAlias = Callable[..., Ran]

EXAMPLE = Path(__file__).parents[3] / "penstock.example.yaml"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `penstock` in an empty folder: its exit code, what it printed, what it complained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def penstock(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["penstock", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return penstock


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"penstock {version('penstock')}\n", "")


def test_a_good_configuration(run: Run, tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(EXAMPLE.read_text())
    code, out, said = run("config", "check")
    assert (code, out) == (0, "")
    assert said == "penstock.yaml: good (tiers local, cloud; gateway at 127.0.0.1:8080)\n"


def test_a_configuration_is_printed_without_its_secrets(run: Run) -> None:
    code, out, _ = run("config", "check", "--json", "--config", str(EXAMPLE))
    assert code == 0
    assert json.loads(out)["tiers"][1]["provider"]["api_key"] == "**********"


def test_every_problem_is_a_line_on_stderr(run: Run, tmp_path: Path) -> None:
    bad = (
        EXAMPLE.read_text().replace("durability:", "durabillity:").replace("rate: 0.05", "rate: 5")
    )
    (tmp_path / "penstock.yaml").write_text(bad)
    assert run("config", "check") == (
        2,
        "",
        'penstock.yaml:29:1: durabillity: unknown key; did you mean "durability"?\n'
        "penstock.yaml:76:9: audit.rate: must be less than or equal to 1\n",
    )


@pytest.mark.parametrize("command", [["config", "check"], ["db", "upgrade"], ["key", "list"]])
def test_an_absent_configuration_is_one_line(run: Run, command: list[str]) -> None:
    code, out, said = run(*command)
    assert (code, out) == (2, "")
    assert said == (
        "penstock.yaml: No such file or directory; "
        "write one: penstock config example > penstock.yaml, or name it with --config\n"
    )


def test_an_example_is_there_to_start_from(run: Run) -> None:
    assert run("config", "example") == (0, EXAMPLE.read_text(), "")


def test_an_unreachable_database_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "postgresql://owner:canary@127.0.0.1:1/penstock"
    monkeypatch.setenv("DATABASE_URL", nowhere)
    code, out, said = run("db", "upgrade", "--config", str(EXAMPLE))
    assert (code, out, said.count("\n")) == (2, "", 1)
    assert said.startswith("DATABASE_URL: cannot reach Postgres at 127.0.0.1:1")
    assert "canary" not in said

    monkeypatch.setenv("DATABASE_URL_CONTROLPLANE", nowhere)
    code, out, said = run("key", "list", "--config", str(EXAMPLE))
    assert (code, out, said.count("\n")) == (2, "", 1)
    assert "check DATABASE_URL_CONTROLPLANE" in said
    assert "canary" not in said


def test_the_schema(run: Run) -> None:
    code, out, _ = run("config", "schema")
    assert code == 0
    assert json.loads(out)["$schema"].endswith("2020-12/schema")


def test_an_unknown_command(run: Run) -> None:
    code, _, said = run("bogus")
    assert code == 2
    assert "No such command 'bogus'" in said


def test_help_loads_no_plane_store_or_learner() -> None:
    heavy = ["river", "numpy", "sqlalchemy", "psycopg", "fastapi", "pydantic", "streamlit"]
    code = f"import sys, controlplane.cli; print(sorted(set({heavy}) & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "[]\n"
