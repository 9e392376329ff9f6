"""A real data plane process on a real database, between a client and a scripted provider."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg

from controlplane.database import Database
from dataplane.contract import keys
from dataplane.contract.policy import PolicyDocument
from tests.policies import policy

T = TypeVar("T")
EVENTS = "text/event-stream"
CONFIGURATION = """
listen: 127.0.0.1:{port}
data_dir: {directory}
tiers:
  - name: local
    provider: {{base_url: "{upstream}", model: small, api_key: "{api_key}"}}
    price: {{input_usd_per_mtok: 0.02, output_usd_per_mtok: 0.04}}
    timeout_s: {timeout_s}
  - name: cloud
    provider: {{base_url: "{upstream}", model: big, api_key: "{api_key}"}}
    price: {{input_usd_per_mtok: 2.5, output_usd_per_mtok: 10.0}}
    timeout_s: {timeout_s}
objective: {{target_quality: 0.9}}
{sections}
"""


def eventually(found: Callable[[], T], timeout_s: float = 10.0) -> T:
    """The first true value within the time; fails otherwise."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come to pass"
        pause.wait(0.02)
    return value


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answer(model: str, text: str = "fine", logprob: float = -0.9) -> dict[str, Any]:
    """A provider's whole answer, with log-probabilities."""
    content = [{"token": letter, "logprob": logprob, "top_logprobs": []} for letter in text]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": {"content": content},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 7, "completion_tokens": len(text), "total_tokens": 7 + len(text)}
    return {"object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


Script = Callable[[Mapping[str, Any]], tuple[int, dict[str, Any]]]


def fine(body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Every call is answered; how sure the model was hangs on the question."""
    said = body["messages"][-1]["content"]
    return 200, answer(body["model"], logprob=-(hash_of(said) % 30) / 10)


def hash_of(text: str) -> int:
    """The same in every process."""
    return sum(text.encode())


def _streamed(said: Mapping[str, Any]) -> bytes:
    """A whole answer as the events that a stream has of it."""
    (choice,) = said["choices"]
    part = {"object": "chat.completion.chunk", "model": said["model"]}
    begun = {"index": 0, "delta": choice["message"], "logprobs": choice.get("logprobs")}
    ended = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    chunks = (
        part | {"choices": [begun]},
        part | {"choices": [ended]},
        part | {"choices": [], "usage": said["usage"]},
    )
    lines = (*map(json.dumps, chunks), "[DONE]")
    return "".join(f"data: {line}\n\n" for line in lines).encode()


@contextmanager
def provider(script: Script = fine) -> Iterator[str]:
    """An HTTP provider in threads; gives its base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else the body waits 40 ms for the head to be acknowledged

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, said = script(body)
            streams = status == 200 and body.get("stream") is True
            data = _streamed(said) if streams else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", EVENTS if streams else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def issue_key(url: str, *scopes: str) -> str:
    """A key with these scopes, in the table; the string that a client sends."""
    key = keys.generate()
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO api_keys (id, secret_sha256, tenant, scopes, name, created_at)"
            " VALUES (%s, %s, 'tenant-1', %s, 'a test', now())",
            (key.id, keys.digest(key.secret), list(scopes)),
        )
    return key.reveal()


@dataclass
class RealPlane:
    """`python -m dataplane` in a directory of its own; it may be killed and started again."""

    directory: Path
    database: Database
    upstream: str
    document: PolicyDocument = field(default_factory=policy)
    timeout_s: float = 10.0
    api_key: str = ""
    sections: str = ""  # further ones of its configuration
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it said."""
        return (self.directory / "log").read_text()

    @property
    def configuration(self) -> Path:
        """Its `penstock.yaml`."""
        return self.directory / "penstock.yaml"

    @property
    def start_policy(self) -> Path:
        """What decides until a policy is published."""
        return self.directory / "start.json"

    @property
    def command(self) -> list[str]:
        """Its command line."""
        files = [f"--config={self.configuration}", f"--start-policy={self.start_policy}"]
        return [sys.executable, "-m", "dataplane", *files]

    @property
    def environment(self) -> dict[str, str]:
        """Its environment."""
        url = self.database.url_for("penstock_dataplane")
        return {**os.environ, "DATABASE_URL_DATAPLANE": url}

    def write(self) -> None:
        """Write its files."""
        self.configuration.write_text(
            CONFIGURATION.format(
                port=self.port,
                directory=self.directory / "data",
                upstream=self.upstream,
                timeout_s=self.timeout_s,
                api_key=self.api_key,
                sections=self.sections,
            )
        )
        self.start_policy.write_bytes(self.document.to_json())

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start it, without waiting."""
        self.write()
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log
            )
        return self.process

    def start(self) -> None:
        """Start it, and wait until it knows a key."""
        process = self.launch()

        def ready() -> bool:
            assert process.poll() is None, self.log
            try:
                found = httpx.get(f"{self.url}/readyz", trust_env=False)
            except httpx.TransportError:
                return False
            return found.status_code == 200 and found.json()["keys"] > 0

        eventually(ready, 60.0)

    def kill(self) -> None:
        """The end that nobody can prepare for."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """An orderly end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def real_plane(
    directory: Path, database: Database, upstream: str, **options: Any
) -> Iterator[RealPlane]:
    """A running data plane, stopped at the end."""
    plane = RealPlane(directory, database, upstream, **options)
    try:
        plane.start()
        yield plane
    finally:
        if plane.process is not None and plane.process.poll() is None:
            plane.stop()
