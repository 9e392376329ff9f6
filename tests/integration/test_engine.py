"""The engine as it is run: a process, a socket, a model."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from dataplane.tiers.process import EngineOptions
from tests.tiny_model import slow_model, tiny_model

__all__ = ["slow_model", "tiny_model"]

BODY = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 24, "temperature": 0}


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Engine:
    def __init__(self, process: "subprocess.Popen[bytes]", path: Path) -> None:
        self.process = process
        self.path = path

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = Connection(self.path)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def chat(self, **fields: Any) -> Any:
        status, reply = self.request("POST", "/v1/chat/completions", {**BODY, **fields})
        assert status == 200, reply
        return reply

    def text(self, **fields: Any) -> str:
        return str(self.chat(**fields)["choices"][0]["message"]["content"])

    @contextmanager
    def leaving(self, body: Any) -> Iterator[None]:
        """A client whose request has a slot, and who goes away at the end."""
        connection = Connection(self.path)
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        self._wait(lambda busy: busy == 1, 5)
        yield
        connection.close()

    def wait_until_idle(self, timeout_s: float) -> None:
        self._wait(lambda busy: busy == 0, timeout_s)

    def _wait(self, state: Callable[[int], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not state(self.request("GET", "/health")[1]["slots_busy"]):
            assert time.monotonic() < deadline
            time.sleep(0.002)


@contextmanager
def running(model: Path, **options: Any) -> Iterator[Engine]:
    with TemporaryDirectory(prefix="penstock-") as folder:
        path = Path(folder) / "engine.sock"
        command = EngineOptions(model, None, **options).command("tiny", path)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            yield _ready(Engine(process, path))
        finally:
            process.kill()
            process.communicate()


def _ready(engine: Engine) -> Engine:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert engine.request("GET", "/health")[0] == 200
            return engine
        except OSError:
            assert engine.process.poll() is None, engine.process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)


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


def _refused(model: Path, sha256: str, path: Path) -> str:
    command = [sys.executable, "-m", "dataplane.engine", f"--model={model}", f"--sha256={sha256}"]
    done = subprocess.run(
        [*command, f"--socket={path}"],
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
