"""What a newcomer gets wrong, typed as they would: one line that names it and the remedy."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest

from controlplane.launch import free_ports
from dataplane.sandbox import MODEL_PATH

PENSTOCK = str(Path(sys.executable).with_name("penstock"))
DEADLINE_S = 30  # a few seconds on an idle machine
COMMANDS = (
    "config check",
    "db upgrade",
    "key list",
    "label status",
    "policy start",
    "dashboard",
    "up",
)
CONFIGURATION = """\
listen: 127.0.0.1:{gateway}
control: {{listen: "127.0.0.1:{control}"}}
dashboard: {{listen: "127.0.0.1:{dashboard}"}}
tiers:
  - name: local
    engine: {{model: model.gguf, sha256: none, context: 128}}
    price: {{input_usd_per_mtok: 0.05, output_usd_per_mtok: 0.05}}
  - name: cloud
    provider: {{base_url: "http://127.0.0.1:9/v1", model: nobody}}
    price: {{input_usd_per_mtok: 2.5, output_usd_per_mtok: 10}}
objective: {{target_quality: 0.9}}
"""
Edit: TypeAlias = Callable[[str, str], None]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty one, where the commands are typed."""
    with TemporaryDirectory(prefix="penstock-test-") as name:
        yield Path(name)


@pytest.fixture
def ports(folder: Path) -> dict[str, int]:
    """A good configuration and model in the folder; the ports it names, by setting."""
    gateway, control, dashboard = free_ports(3)
    text = CONFIGURATION.format(gateway=gateway, control=control, dashboard=dashboard)
    (folder / "penstock.yaml").write_text(text)
    (folder / "model.gguf").symlink_to(MODEL_PATH)
    return {"listen": gateway, "control.listen": control, "dashboard.listen": dashboard}


@pytest.fixture
def edit(folder: Path, ports: dict[str, int]) -> Edit:
    """Replace words of the configuration."""
    path = folder / "penstock.yaml"

    def replace(this: str, that: str) -> None:
        text = path.read_text()
        assert this in text
        path.write_text(text.replace(this, that))

    return replace


def refusal(folder: Path, command: str, **variables: str) -> str:
    """The one line that a command says before it ends with code 2, leaving nothing behind."""
    before = sorted(folder.iterdir())
    ours = {name: value for name, value in os.environ.items() if "DATABASE_URL" not in name}
    done = subprocess.run(
        [PENSTOCK, *command.split()],
        cwd=folder,
        env=ours | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert re.fullmatch(r"[^\n]+\n", done.stderr), done.stderr
    assert sorted(folder.iterdir()) == before
    return done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_no_configuration(folder: Path, command: str) -> None:
    said = refusal(folder, command)
    assert said.startswith("penstock.yaml: No such file")
    assert "penstock config example > penstock.yaml" in said


@pytest.mark.parametrize("command", ["config check", "up"])
def test_a_typo_in_the_configuration(folder: Path, edit: Edit, command: str) -> None:
    edit("context: 128", "contxt: 128")
    said = refusal(folder, command)
    assert said.startswith("penstock.yaml:6:")
    assert 'tiers[0].engine.contxt: unknown key; did you mean "context"?' in said


def test_broken_yaml(folder: Path, edit: Edit) -> None:
    edit("objective: {", "objective: {{")
    assert refusal(folder, "up").startswith("penstock.yaml:12:1: expected ',' or '}'")


def test_a_missing_model(folder: Path, edit: Edit) -> None:
    edit("model: model.gguf", "model: models/absent.gguf")
    said = refusal(folder, "up")
    assert f"model {folder}/models/absent.gguf: No such file or directory; give the path" in said


def test_a_model_that_is_none(folder: Path, edit: Edit) -> None:
    (folder / "page.gguf").write_text("<!doctype html>")
    edit("model: model.gguf", "model: page.gguf")
    assert f"model {folder}/page.gguf: no GGUF file; " in refusal(folder, "up")


def test_another_model_than_the_pinned_one(folder: Path, edit: Edit) -> None:
    edit("sha256: none", f"sha256: {'a' * 64}")
    said = refusal(folder, "up")
    assert re.search(r"model \S+/model.gguf: SHA-256 is \w{64}, pinned is a{64}; restore", said)


@pytest.mark.parametrize("command", ["db upgrade", "up"])
@pytest.mark.parametrize("url", ["postgresql://me:hidden@127.0.0.1:1/penstock", "mysql://hidden@x"])
def test_a_database_that_is_not_there(
    folder: Path, ports: dict[str, int], command: str, url: str
) -> None:
    said = refusal(folder, command, DATABASE_URL=url)
    assert said.startswith("DATABASE_URL")
    assert "cannot reach Postgres at 127.0.0.1:1" in said or "expected postgresql://" in said
    assert "hidden" not in said


@pytest.mark.parametrize("setting", ["listen", "control.listen", "dashboard.listen"])
def test_a_port_in_use(folder: Path, ports: dict[str, int], setting: str) -> None:
    with socket.create_server(("127.0.0.1", ports[setting])):
        said = refusal(folder, "up")
    assert f"port {ports[setting]} on 127.0.0.1 is in use: stop the other program" in said
    assert f"set {setting} in penstock.yaml" in said


def test_a_recording_that_is_not_there(folder: Path) -> None:
    said = refusal(folder, "replay nowhere.csv --local a --cloud b --target 0.9")
    assert "nowhere.csv: no such file" in said


def test_a_recording_without_a_column(folder: Path) -> None:
    (folder / "runs.csv").write_text("query_id,promt,model,correct,cost_usd\n1,Why?,a,1,0.1\n")
    said = refusal(folder, "replay runs.csv --local a --cloud b --target 0.9")
    assert 'runs.csv: no column "prompt"' in said
    assert said.endswith('did you mean "promt"?\n')


GRADES = "decision_id,answer,value\n019ca6b1-dc64-7000-8000-000000000001,a,1\n"


@pytest.mark.parametrize(
    ("this", "that", "says"),
    [
        ("value", "vlaue", 'grades.csv:1: no column "value": rename "vlaue", or export anew'),
        (",a,1", ",a,1.5", "grades.csv:2: value '1.5': give a number from 0 to 1"),
        (",a,1", ",a,nan", "grades.csv:2: value 'nan': give a number from 0 to 1"),
        (",a,1", ",tier,1", "grades.csv:2: answer 'tier' is no blind key: leave the column"),
        ("019ca6b1", "x", "grades.csv:2: decision_id 'x-dc64-7000-8000-000000000001' is none"),
        (",a,1", ",a,1,1", "grades.csv:2: 4 cells under 3 columns: quote text that"),
        (GRADES, "", "grades.csv:1: no header: give a file that `penstock label export` wrote"),
    ],
)
def test_grades_that_cannot_be(folder: Path, this: str, that: str, says: str) -> None:
    (folder / "grades.csv").write_text(GRADES.replace(this, that))
    assert refusal(folder, "label import grades.csv --labeller anna").startswith(says)


def test_grades_that_are_not_there_or_no_text(folder: Path) -> None:
    said = refusal(folder, "label import nowhere.csv --labeller anna")
    assert said.startswith("nowhere.csv: No such file or directory: name the file")
    (folder / "grades.csv").write_bytes(b"\xff\xfe\x00g")
    said = refusal(folder, "label import grades.csv --labeller anna")
    assert "grades.csv: not UTF-8 text: save it as CSV UTF-8" in said


def test_an_export_overwrites_nothing(folder: Path) -> None:
    (folder / "grades.csv").write_text(GRADES)
    said = refusal(folder, "label export grades.csv --labeller anna")
    assert said.startswith("grades.csv: is there already, and may hold grades: name another file")
    assert (folder / "grades.csv").read_text() == GRADES
