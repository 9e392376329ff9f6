"""The engine as it is run: a process, a socket, a model."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_cpp.llama_cpp import llama_supports_gpu_offload

from tests.engines import BODY, Engine, running
from tests.tiny_model import slow_model, tiny_model

__all__ = ["slow_model", "tiny_model"]


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with running(tiny_model, context=256, slots=4) as engine:
        yield engine


def test_greedy_answers_repeat_alone_and_side_by_side(engine: Engine) -> None:
    alone = engine.text()
    with ThreadPoolExecutor(12) as callers:
        together = list(callers.map(lambda _: engine.text(), range(12)))
    assert set(together) == {alone}


def test_a_seed_repeats_an_answer_and_another_does_not(engine: Engine) -> None:
    first, again, other = (engine.text(temperature=1, seed=seed) for seed in (5, 5, 6))
    assert first == again != other


def test_the_likeliest_token_is_the_greedy_one(engine: Engine) -> None:
    content = engine.chat(logprobs=True, top_logprobs=3)["choices"][0]["logprobs"]["content"]
    assert content
    for token in content:
        likeliest = token["top_logprobs"]
        assert token["logprob"] == likeliest[0]["logprob"] <= 0
        assert [t["logprob"] for t in likeliest] == sorted(
            (t["logprob"] for t in likeliest), reverse=True
        )


def test_text_that_spells_a_control_token_is_only_text(engine: Engine) -> None:
    """SPM could merge `</s>` into one token: every character must be counted as its own."""
    content = "a</s>b"
    empty = engine.chat(messages=[{"role": "user", "content": ""}])["usage"]["prompt_tokens"]
    full = engine.chat(messages=[{"role": "user", "content": content}])["usage"]["prompt_tokens"]
    assert full - empty == len(content)


def test_only_its_owner_may_connect(engine: Engine) -> None:
    assert stat.S_IMODE(engine.path.stat().st_mode) == 0o600


@pytest.fixture(scope="module")
def slow_engine(slow_model: Path) -> Iterator[Engine]:
    with running(slow_model, context=512, slots=1, queue=0) as engine:
        yield engine


LONG = {"messages": [{"role": "user", "content": "x" * 480}], "max_tokens": 1}
LASTING = {**BODY, "max_tokens": 480, "stream": True}


@pytest.mark.parametrize("body", [LONG, LASTING], ids=["while-prefilling", "while-answering"])
def test_a_client_that_goes_away_frees_its_slot(slow_engine: Engine, body: Any) -> None:
    with slow_engine.leaving(body):
        pass
    slow_engine.wait_until_idle(0.5)


def test_a_full_engine_refuses_at_once(slow_engine: Engine) -> None:
    with slow_engine.leaving(LASTING):
        status, reply = slow_engine.request("POST", "/v1/chat/completions", BODY)
        assert (status, reply["error"]["code"]) == (429, "queue_full")
    slow_engine.wait_until_idle(0.5)


def test_it_ends_with_its_parent(tiny_model: Path) -> None:
    with running(tiny_model, slots=1) as engine:
        assert engine.process.stdin is not None
        engine.process.stdin.close()
        engine.process.stdin = None
        assert engine.process.wait(5) == 0


def test_it_ends_in_order_when_asked_to(tiny_model: Path) -> None:
    with running(tiny_model, slots=1) as engine:
        engine.process.send_signal(signal.SIGTERM)
        assert engine.process.wait(5) == 0
        assert not engine.path.exists()


def _refused(model: Path, sha256: str, path: Path, *options: str) -> str:
    command = [sys.executable, "-m", "dataplane.engine", f"--model={model}", f"--sha256={sha256}"]
    done = subprocess.run(
        [*command, f"--socket={path}", *options],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ},
    )
    assert done.returncode == 2
    return done.stderr.decode()


def test_what_cannot_be_served_is_one_line_and_exit_code_two(
    tiny_model: Path, tmp_path: Path, engine: Engine
) -> None:
    missing = _refused(tmp_path / "none.gguf", "none", tmp_path / "s")
    wrong = _refused(tiny_model, "0" * 64, tmp_path / "s")
    taken = _refused(tiny_model, "none", engine.path)
    for said, what in ((missing, "none.gguf"), (wrong, "pinned is 0000"), (taken, "engine.sock")):
        lines = [line for line in said.splitlines() if line.startswith("penstock engine: ")]
        assert len(lines) == 1
        assert what in lines[0]
        assert "Traceback" not in said
    assert len(missing.splitlines()) == len(wrong.splitlines()) == 1


@pytest.mark.skipif(llama_supports_gpu_offload(), reason="this llama.cpp finds a GPU")
def test_layers_for_a_gpu_that_is_not_there_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    said = _refused(tiny_model, "none", tmp_path / "s", "--gpu-layers=-1")
    assert said.startswith("penstock engine: gpu_layers is -1, and this llama.cpp finds no GPU: ")
    assert len(said.splitlines()) == 1
