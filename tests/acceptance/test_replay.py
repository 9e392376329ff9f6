"""`penstock replay`, as a person runs it: on the sandbox's recording, and on public data."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

from controlplane.cli import main

SANDBOX = ("--local", "penstock-sandbox", "--cloud", "simulated-cloud")
MIXTRAL = ("--local", "mistralai/Mixtral-8x7B-Instruct-v0.1", "--cloud", "gpt-4-1106-preview")
QUERIES = 1200


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    printed: str
    complained: str


Penstock: TypeAlias = Callable[..., Ran]
Told: TypeAlias = Callable[..., tuple[dict[str, Any], str]]

DATA = os.environ.get("PENSTOCK_DATA")
needs_data = pytest.mark.skipif(
    DATA is None, reason="PENSTOCK_DATA names no folder with the public recordings"
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same sandbox outcomes in all three forms."""
    folder = tmp_path_factory.mktemp("recordings")
    files = [str(folder / f"sandbox.{form}") for form in ("parquet", "csv", "jsonl")]
    command = [sys.executable, "-m", "dataplane.sandbox.recorded", *files]
    subprocess.run([*command, f"--queries={QUERIES}"], check=True, timeout=120)
    return folder


@pytest.fixture
def penstock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Penstock:
    """Run `penstock replay`: its exit code, what it printed, what it complained."""
    monkeypatch.setenv("COLUMNS", "80")

    def replay(*words: str, data: Path | str | None = None) -> Ran:
        if data is None:
            monkeypatch.delenv("PENSTOCK_DATA", raising=False)
        else:
            monkeypatch.setenv("PENSTOCK_DATA", str(data))
        monkeypatch.setattr(sys, "argv", ["penstock", "replay", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, *capsys.readouterr())

    return replay


@pytest.fixture
def told(penstock: Penstock) -> Told:
    """The figures, and what the person read."""

    def replay(*words: str, data: Path | str | None = None) -> tuple[dict[str, Any], str]:
        ran = penstock(*words, "--json", "-", data=data)
        assert ran.code == 0, ran.complained
        return json.loads(ran.printed), ran.complained

    return replay


def test_it_ends_with_a_table(penstock: Penstock, recordings: Path) -> None:
    ran = penstock("sandbox", *SANDBOX, "--target=0.85", "--judge=logprob", data=recordings)
    assert (ran.code, ran.complained) == (0, "")
    for words in (
        "1,200 queries, penstock-sandbox (local) and simulated-cloud (cloud), judge logprob",
        "source: SIMULATED",
        "penstock  ",
        "always local",
        "always cloud",
        "random mix",
        "oracle",
        "labels; serving",
        "SIMULATED: the order of the queries",
        "queries a second",
    ):
        assert words in ran.printed
    assert max(len(line) for line in ran.printed.splitlines() if "[" in line[:60]) <= 80


def test_all_forms_tell_the_same_and_so_does_a_second_run(told: Told, recordings: Path) -> None:
    options = (*SANDBOX, "--target=80%", "--judge=logprob", "--seed=3")
    figures = []
    for form in ("parquet", "csv", "jsonl", "jsonl"):
        report, _ = told(str(recordings / f"sandbox.{form}"), *options)
        for varies in ("file", "seconds", "rows_per_s"):
            del report[varies]
        figures.append(report)
    assert figures[0] == figures[1] == figures[2] == figures[3]


def test_the_judge_is_worth_having_on_the_sandbox(told: Told, recordings: Path) -> None:
    common = ("sandbox.parquet", *SANDBOX, "--target=0.85", "--audit=0.15", "--shadow=0.1")
    judged, _ = told(*common, "--judge=logprob", data=recordings)
    assert judged["penstock_late"]["quality"] > 0.85 - 0.04
    assert judged["saving_at_equal_quality"] > 0.2
    assert judged["penstock"]["cost_share"] > judged["baselines"][-1]["cost_share"]
    assert len(judged["policy_versions"]) >= 3


def test_a_target_beyond_both_models_is_said(told: Told, recordings: Path) -> None:
    report, said = told("sandbox.csv", *SANDBOX, "--target=0.999", data=recordings)
    assert not report["target_reachable"]
    assert "the target of 0.999 is beyond every model" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.parquet", *SANDBOX, "--target=0.9"), "nowhere.parquet: no such file"),
        (("sandboks.csv", *SANDBOX, "--target=0.9"), 'did you mean "sandbox.csv"?'),
        (("sandbox.csv", "--local=tiny", "--cloud=simulated-cloud", "--target=0.9"),
         'no model "tiny"; its models are penstock-sandbox, simulated-cloud'),
        (("sandbox.csv", *SANDBOX, "--target=0.9", "--cost=price"), 'no column "price"'),
        (("sandbox.csv", *SANDBOX, "--target=0.9", "--judge=logprop"),
         'did you mean "logprob"?'),
        (("sandbox.csv", *SANDBOX, "--target=high"), "--target high: give a quality"),
        (("sandbox.csv", *SANDBOX, "--target=1.2"), "--target 1.2: give a quality"),
        (("sandbox.csv", *SANDBOX, "--target=0.9", "--where=file"), "give COLUMN=VALUE"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    penstock: Penstock, recordings: Path, words: tuple[str, ...], said: str
) -> None:
    ran = penstock(*words, data=recordings)
    assert (ran.code, ran.printed) == (2, "")
    assert ran.complained.count("\n") == 1
    assert said in ran.complained


def test_a_missing_column_is_one_line(penstock: Penstock, recordings: Path, tmp_path: Path) -> None:
    head, *lines = (recordings / "sandbox.csv").read_text().splitlines()
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join([head.replace("prompt", "promt"), *lines]))
    ran = penstock(str(bad), *SANDBOX, "--target=0.9")
    assert ran.code == 2
    assert ran.complained.count("\n") == 1
    assert f'{bad}: no column "prompt"; its columns are query_id, promt, category' in ran.complained
    assert ran.complained.endswith('did you mean "promt"?\n')


@needs_data
def test_it_routes_routellm_gsm8k(told: Told) -> None:
    report, said = told("routellm_gsm8k", *MIXTRAL, "--target=80%", data=DATA)
    assert (report["queries"], report["contaminated"], report["lacking"]) == (1307, 12, 0)
    assert report["judge_cost_usd"] == 0
    local, cloud, mix, *_, oracle = report["baselines"]
    assert local["quality"] == pytest.approx(0.6373, abs=1e-4)
    assert cloud["quality"] == pytest.approx(0.8577, abs=1e-4)
    assert oracle["cost_share"] < report["penstock"]["cost_share"] < 1
    assert mix["quality"] == pytest.approx(report["target_quality"])
    assert "no judge: routed only" in said
    assert len(report["policy_versions"]) >= 2


@needs_data
def test_it_routes_between_four_models_of_routerbench(told: Told) -> None:
    yi, mixtral = "zero-one-ai/Yi-34B-Chat", "mistralai/mixtral-8x7b-chat"
    report, said = told(
        "routerbench_0shot_subset", "--local=mistralai/mistral-7b-chat",
        "--cloud=gpt-4-1106-preview", f"--tier={yi}", f"--tier={mixtral}", "--target=70%",
        data=DATA,
    )  # fmt: skip
    assert report["between"] == [mixtral, yi]  # the cheaper one first
    lines = {line["name"]: line for line in report["baselines"]}
    assert list(lines) == [
        "always local", "always mixtral-8x7b-chat", "always Yi-34B-Chat", "always cloud",
        "random mix", "per-category mean", "oracle",
    ]  # fmt: skip
    assert lines["oracle"]["cost_usd"] < lines["per-category mean"]["cost_usd"]
    assert lines["per-category mean"]["cost_usd"] < lines["random mix"]["cost_usd"]
    assert report["penstock"]["cost_share"] < 1
    assert sum(report["shares"].values()) == pytest.approx(1)
    assert "always Yi-34B-Chat" in said


@needs_data
def test_agreement_of_a_third_model_judges_zeroeval_gsm(told: Told) -> None:
    report, _ = told(
        "zeroeval_gsm", "--local=Meta-Llama-3.1-8B-Instruct", "--cloud=gpt-4o-2024-08-06",
        "--judge=agreement:gpt-4o-mini-2024-07-18", "--target=80%", data=DATA,
    )  # fmt: skip
    assert report["queries"] == 1319
    assert report["judge_cost_usd"] > 0
    assert report["saving_at_equal_quality"] > 0.1


@needs_data
def test_self_consistency_judges_mot_gsm8k(told: Told) -> None:
    report, said = told(
        "mot_gsm8k_selfconsistency", "--local=llama2-13b", "--cloud=gpt-4",
        "--judge=self_consistency", "--cost=cost_usd_all_samples", "--target=80%",
        "--where=file=llama2_13B_result/gsm_pot2.json",
        "--where=file=GPT4_result/gsm_greedy_cot1.json", data=DATA,
    )  # fmt: skip
    assert (report["queries"], report["lacking"]) == (400, 919)
    assert "left out: 919 queries" in said


@needs_data
@pytest.mark.slow
def test_it_routes_routellm_mmlu(told: Told) -> None:
    report, said = told("routellm_mmlu", *MIXTRAL, "--target=80%", data=DATA)
    assert (report["queries"], report["contaminated"]) == (14037, 5)
    assert report["seconds"] < 240
    assert report["penstock_late"]["quality"] > report["target_quality"] - 0.04
    assert "queries a second" in said
