import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from rich.console import Console

from controlplane.cli import main
from controlplane.demo import story
from controlplane.demo.options import Options
from controlplane.demo.report import Report
from tests.reports import report

Ran: TypeAlias = tuple[int, str, str]
Run: TypeAlias = Callable[..., Ran]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """What the story was asked to do; it does nothing of it and reports a run on target."""
    options: list[Options] = []

    def told(asked: Options, _: Console, last: Callable[..., None]) -> Report:
        options.append(asked)
        found = report(quality_last_two_thirds=0.87 if asked.seed == 13 else 0.9)
        last(found, looking)
        return found

    @contextmanager
    def looking() -> Iterator[str]:
        yield "http://127.0.0.1:8501"

    monkeypatch.setattr(story, "run", told)
    return options


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: list[Options]
) -> Run:
    monkeypatch.setattr("controlplane.launch.stop_like_ctrl_c", lambda: None)

    def penstock(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["penstock", "demo", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), *capsys.readouterr()

    return penstock


def test_the_usual_run(run: Run, asked: list[Options]) -> None:
    code, out, said = run()
    assert (code, out) == (0, "")
    assert "--keep DIR would keep it" in said
    assert asked == [Options(queries=6000, target_quality=0.93, seed=0)]


def test_what_is_asked_is_what_is_run(run: Run, asked: list[Options], tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    words = ("--queries", "800", "--target", "0.8", "--seed", "7", "--freeze", "--keep", str(keep))
    code, _, said = run(*words)
    assert code == 0
    assert asked == [Options(queries=800, target_quality=0.8, seed=7, freeze=True, keep=keep)]
    assert f"penstock up --config {keep / 'penstock.yaml'}" in said
    assert f"penstock dashboard --config {keep / 'penstock.yaml'}" in said


def test_the_dashboard_opens_where_it_is_asked_for(
    run: Run, asked: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    code, _, said = run("--dashboard")
    assert (code, asked) == (0, [Options(looked_at=True)])
    assert "dashboard: http://127.0.0.1:8501" in said
    assert "Look at this run" not in said


def test_nobody_at_the_terminal_is_asked_nothing(run: Run) -> None:
    assert "dashboard:" not in run()[2]


def test_a_drift_takes_more_queries_unless_they_are_said(run: Run, asked: list[Options]) -> None:
    run("--drift", "judge")
    run("--drift", "price", "--queries", "1200")
    assert asked == [
        Options(queries=8_000, drift="judge"),
        Options(queries=1200, drift="price"),
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--queries", "800"), "--drift needs --queries 1000 or more"),
        (("--cloud", "openai", "--model", "m"), "--drift is SIMULATED, beside a SIMULATED cloud"),
    ],
)
def test_a_drift_that_could_not_be_shown(
    run: Run, asked: list[Options], words: tuple[str, ...], why: str
) -> None:
    code, _, said = run("--drift", "mix", *words)
    assert (code, asked) == (2, [])
    assert why in said


def test_the_figures_go_to_a_file_or_to_the_output(run: Run, tmp_path: Path) -> None:
    _, out, _ = run("--json", "-")
    run("--json", str(tmp_path / "out.json"))
    assert Report.model_validate_json(out) == report()
    assert (tmp_path / "out.json").read_text() == out


def test_a_missing_folder_is_told_before_anything_is_run(
    run: Run, asked: list[Options], tmp_path: Path
) -> None:
    code, _, said = run("--json", str(tmp_path / "none" / "out.json"))
    assert (code, asked) == (2, [])
    assert f"there is no folder {tmp_path / 'none'}: create it" in said


def test_missing_the_tolerance_is_exit_code_1(run: Run) -> None:
    assert run("--seed", "13")[0] == 1


def test_an_exported_key_alone_spends_nothing(
    run: Run, asked: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    assert run()[0] == 0
    assert asked[0].cloud is None


@pytest.mark.parametrize(
    ("key", "words", "said"),
    [
        ("sk-canary", (), "--cloud openai needs --model NAME"),
        ("", ("--model", "gpt-x"), "--cloud openai needs OPENAI_API_KEY: export it"),
    ],
)
def test_a_real_cloud_needs_a_model_and_a_key(
    run: Run,
    asked: list[Options],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert run("--cloud", "openai", *words) == (2, "", f"{said}\n")
    assert asked == []


@pytest.mark.parametrize(("answer", "code", "runs"), [("y", 0, 1), ("n", 1, 0)])
def test_real_money_is_spent_after_a_yes_only(
    run: Run,
    asked: list[Options],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
    runs: int,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
    words = ("--cloud", "openai", "--model", "gpt-x", "--queries", "1000")
    ended, _, said = run(*words, "--input-price", "1", "--output-price", "4")
    assert (ended, len(asked)) == (code, runs)
    assert "REAL MONEY: up to 1,000 calls of gpt-x" in said
    assert "about 0.06 USD" in said
    assert "sk-canary" not in said
