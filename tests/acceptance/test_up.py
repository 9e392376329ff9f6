"""`penstock up` as a person runs it: all parts, one answer, an orderly end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from controlplane.launch import free_ports
from dataplane.sandbox import MODEL_PATH

pytestmark = pytest.mark.slow

CTRL_C = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # as at a terminal
)
PENSTOCK = (sys.executable, "-c", f"{CTRL_C}; from controlplane.cli import main; main()")
ROOT = Path(__file__).parents[2]
CONFIGURATION = """\
listen: 127.0.0.1:{gateway}
control:
  listen: 127.0.0.1:{control}
dashboard:
  listen: 127.0.0.1:{dashboard}
tiers:
  - name: local
    engine:
      model: {model}
      sha256: none
      context: 128
    price:
      input_usd_per_mtok: 0.05
      output_usd_per_mtok: 0.05
  - name: cloud
    provider:
      base_url: http://127.0.0.1:9/v1
      model: nobody
    price:
      input_usd_per_mtok: 2.5
      output_usd_per_mtok: 10
objective:
  target_quality: 0.9
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own: another session of pytest would close that to Postgres's user."""
    with TemporaryDirectory(prefix="penstock-test-") as name:
        yield Path(name)


def configure(folder: Path, model: Path = MODEL_PATH) -> tuple[int, int, int]:
    gateway, control, dashboard = free_ports(3)
    text = CONFIGURATION.format(gateway=gateway, control=control, dashboard=dashboard, model=model)
    (folder / "penstock.yaml").write_text(text)
    return gateway, control, dashboard


def environment(**more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if "DATABASE_URL" not in name}
    return {**ours, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def up(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `penstock up`, and what it has said when all is up."""
    process = subprocess.Popen(
        [*PENSTOCK, "up"], cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        said = ""
        for line in process.stderr:
            said += line
            if "Ctrl-C" in line:
                break
        yield process, said
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_everything_comes_up_answers_and_stops_in_order(folder: Path) -> None:
    ports = configure(folder)
    with up(folder) as (process, said):
        for part in ("Postgres", "schema", "data plane", "control plane", "dashboard"):
            assert re.search(rf"{part}.*\d+\.\d s", said), said
        found = re.search(r"first key, shown this once: (pk_\S+)", said)
        assert found is not None
        body = {"model": "local", "messages": [{"role": "user", "content": "What is 17 + 25?"}]}
        answered = httpx.post(
            f"http://127.0.0.1:{ports[0]}/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {found[1]}"},
            trust_env=False,
        )
        assert answered.headers["x-penstock-tier"] == "local"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read().strip().endswith("stopped")
    assert not any(listens(port) for port in ports)
    assert not (folder / ".penstock" / "postgres" / "postmaster.pid").exists()


def test_a_terminated_one_leaves_nothing_running(folder: Path) -> None:
    ports = configure(folder)
    with up(folder) as (process, _):
        assert all(listens(port) for port in ports)
        process.terminate()
        process.wait(30)
    deadline = time.monotonic() + 10
    while any(listens(port) for port in ports) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(listens(port) for port in ports)
