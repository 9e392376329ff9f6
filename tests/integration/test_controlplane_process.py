"""``python -m controlplane`` as a process: it starts, leads, hands over, and says what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import httpx
import pytest

from controlplane import keys, registry
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.events import record_event
from controlplane.launch import Part, Program, free_ports, running
from tests.traffic import PostgresTraffic, query

DEADLINE_S = 60.0
CONFIGURATION = """
listen: 127.0.0.1:{gateway}
control:
  listen: 127.0.0.1:{control}
tiers:
  - name: local
    provider: {{base_url: "http://127.0.0.1:9", model: small}}
    price: {{input_usd_per_mtok: 0.02, output_usd_per_mtok: 0.04}}
  - name: cloud
    provider: {{base_url: "http://127.0.0.1:9", model: large}}
    price: {{input_usd_per_mtok: 2.5, output_usd_per_mtok: 10}}
objective: {{target_quality: 0.9}}
learner: {{retune_interval_s: 0.2}}
"""


def program(
    directory: Path, database: Database, name: str, section: str = "", **environment: str
) -> Program:
    gateway, control = free_ports(2)
    file = directory / f"{name}.yaml"
    file.write_text(CONFIGURATION.format(gateway=gateway, control=control) + section)
    return Program(
        name,
        "controlplane",
        ("--config", str(file)),
        {
            **os.environ,
            "DATABASE_URL_CONTROLPLANE": database.url_for("penstock_controlplane"),
            **environment,
        },
        ready_url=f"http://127.0.0.1:{control}/readyz",
    )


def status(program: Program, key: str) -> dict[str, object]:
    assert program.ready_url is not None
    url = program.ready_url.replace("readyz", "v1/status")
    answer = httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    return dict(answer.raise_for_status().json())


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def key(database: Database) -> str:
    with connect(database.url_for("penstock_controlplane")) as connection:
        return keys.create(connection, tenant="tests", scopes=["read"], name="tests").reveal()


def test_it_publishes_the_start_policy_and_observes(
    tmp_path: Path, database: Database, key: str
) -> None:
    plane = program(tmp_path, database, "one")
    with running(plane, tmp_path):
        with connect(database.url_for("penstock_controlplane")) as connection:
            live = registry.live(connection)
        assert (live.version, live.segments[0].mode) == (1, "always_cloud")
        traffic = PostgresTraffic(database.url)
        for number in range(3):
            traffic.complete(query(number))
        until(lambda: status(plane, key)["observed"] == 3)


def test_what_is_too_large_is_refused_before_anybody_asks_for_a_key(
    tmp_path: Path, database: Database
) -> None:
    plane = program(tmp_path, database, "one")
    with running(plane, tmp_path):
        assert plane.ready_url is not None
        url = plane.ready_url.replace("readyz", "v1/labels")
        chunks = (b"x" * (1 << 20) for _ in range(64))
        with suppress(httpx.WriteError):  # closed while we speak
            assert httpx.post(url, content=chunks, timeout=30).status_code == 413
        assert next(chunks, None) is not None, "read to its end"
        head = {"x-long": "x" * (70 << 10)}
        assert httpx.get(plane.ready_url, headers=head, timeout=30).status_code == 431
        assert httpx.get(plane.ready_url, timeout=30).status_code == 200


def test_it_tells_a_webhook_what_happened(tmp_path: Path, database: Database) -> None:
    told: Queue[dict[str, object]] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quietly."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        section = f"alerts: {{webhook: '{url}', secret: '${{HOOK_SECRET}}', kinds: [freeze]}}"
        plane = program(tmp_path, database, "one", section, HOOK_SECRET="whsec_" + "QUFB" * 8)
        with running(plane, tmp_path):
            with connect(database.url_for("penstock_controlplane")) as connection:
                record_event(connection, "freeze", {"frozen": True, "by": "key k"})
            said = told.get(timeout=DEADLINE_S)
        server.shutdown()
    assert (said["kind"], said["body"]) == ("freeze", {"frozen": True, "by": "key k"})


def test_of_two_one_leads_and_the_other_takes_over_from_the_killed(
    tmp_path: Path, database: Database, key: str
) -> None:
    one, two = (program(tmp_path, database, name) for name in ("one", "two"))
    traffic = PostgresTraffic(database.url)
    with running(one, tmp_path) as first, running(two, tmp_path):
        until(lambda: status(one, key)["leads"] != status(two, key)["leads"])
        assert status(one, key)["leads"]
        traffic.complete(query(1))
        until(lambda: status(two, key)["observed"] == 1)
        _kill(first)
        traffic.complete(query(2))
        until(lambda: status(two, key)["observed"] == 2)
        assert status(two, key)["leads"]


def _kill(part: Part) -> None:
    os.kill(part.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--config", "absent.yaml"], {}, "absent.yaml"),
        (["--config", "one.yaml"], {}, "DATABASE_URL_CONTROLPLANE"),
        (
            ["--config", "one.yaml"],
            {"DATABASE_URL_CONTROLPLANE": "postgresql://nobody@127.0.0.1:1/none"},
            "DATABASE_URL_CONTROLPLANE",
        ),
        (
            ["--config", "one.yaml"],
            {
                "DATABASE_URL_CONTROLPLANE": "postgresql://nobody@127.0.0.1:1/none",
                "PENSTOCK_LABEL_EXPIRY_S": "soon",
            },
            "PENSTOCK_LABEL_EXPIRY_S",
        ),
    ],
)
def test_what_the_operator_can_mend_is_one_line(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], named: str
) -> None:
    (tmp_path / "one.yaml").write_text(CONFIGURATION.format(gateway=1, control=2))
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("DATABASE_URL", "PENSTOCK"))}
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-m", "controlplane", *arguments],
        check=False,
        cwd=tmp_path,
        env=bare | environment | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2
    assert named in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
