"""The engine as a process that a test or a benchmark talks to over its socket."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dataplane.tiers.process import EngineOptions
from tests.tiny_model import GPU_LAYERS

BODY = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 24, "temperature": 0}


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Engine:
    """A process that serves one model at a socket."""

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
def running(model: Path, ready_s: float = 30, **options: Any) -> Iterator[Engine]:
    """An engine that serves ``model`` within ``ready_s``; ``options`` are of ``EngineOptions``."""
    chosen = EngineOptions(model, None, **{"gpu_layers": GPU_LAYERS, **options})
    with TemporaryDirectory(prefix="penstock-") as folder:
        path = Path(folder) / "engine.sock"
        command = chosen.command("tiny", path)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            yield _ready(Engine(process, path), ready_s)
        finally:
            process.kill()
            process.communicate()


def _ready(engine: Engine, within_s: float) -> Engine:
    deadline = time.monotonic() + within_s
    while True:
        try:
            assert engine.request("GET", "/health")[0] == 200
            return engine
        except OSError:
            assert engine.process.poll() is None, engine.process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
