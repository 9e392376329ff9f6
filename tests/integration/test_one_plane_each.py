"""`penstock serve` and `penstock control`: a plane each, as on machines of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane.database import Database
from controlplane.launch import answers, free_ports
from tests.integration.test_controlplane_process import CONFIGURATION

PENSTOCK = [sys.executable, "-c", "from controlplane.cli import main; main()"]
ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0


@contextmanager
def penstock(*words: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("DATABASE_URL", "PENSTOCK"))}
    process = subprocess.Popen(
        [*PENSTOCK, *words],
        env=bare | environment | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(url: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not answers(url):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def ports() -> list[int]:
    return free_ports(2)


@pytest.fixture
def file(tmp_path: Path, ports: list[int]) -> Path:
    made = tmp_path / "penstock.yaml"
    gateway, control = ports
    told = CONFIGURATION.format(gateway=gateway, control=control)
    made.write_text(f"{told}data_dir: {tmp_path / 'data'}\n")
    return made


def test_each_serves_and_stops_when_told(database: Database, file: Path, ports: list[int]) -> None:
    first = file.with_name("start.json")
    made = subprocess.run(
        [*PENSTOCK, "policy", "start", f"--config={file}"], check=True, capture_output=True
    )
    first.write_bytes(made.stdout)
    urls = {
        f"DATABASE_URL_{role.upper()}": database.url_for(f"penstock_{role}")  # type: ignore[arg-type] # both are roles
        for role in ("dataplane", "controlplane")
    }
    serve = ("serve", f"--config={file}", f"--start-policy={first}")
    with penstock(*serve, **urls) as data, penstock("control", f"--config={file}", **urls) as other:
        for process, port in ((data, ports[0]), (other, ports[1])):
            wait_for(f"http://127.0.0.1:{port}/readyz", process)
        for process in (data, other):
            process.send_signal(signal.SIGTERM)
        assert [process.wait(DEADLINE_S) for process in (data, other)] == [0, -signal.SIGTERM]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("serve", "--config=none.yaml"), "none.yaml"),
        (("control", "--config=none.yaml"), "none.yaml"),
    ],
)
def test_what_the_operator_can_mend_is_one_line(words: tuple[str, str], named: str) -> None:
    with penstock(*words) as process:
        said = process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode == 2
    assert named in said
    assert len(said.splitlines()) == 1
