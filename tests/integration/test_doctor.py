"""`penstock doctor` as an operator runs it, with what may be wrong."""

import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

import migrations
from controlplane import doctor
from controlplane.cli import main
from controlplane.database import VARIABLES, Database

CONFIGURATION = """
data_dir: {directory}
tiers:
  - name: local
    engine: {{model: {model}, sha256: "{sha256}"}}
    price: {{input_usd_per_mtok: 0.02, output_usd_per_mtok: 0.04}}
  - name: cloud
    provider: {{base_url: "{upstream}", model: big, api_key: sk-canary, connect_timeout_s: 1}}
    price: {{input_usd_per_mtok: 2.5, output_usd_per_mtok: 10}}
objective: {{target_quality: 0.9}}
"""
GGUF = b"GGUF, for all that doctor looks at"
Answers = dict[str, tuple[int, Any]]
Found = dict[str, dict[str, str]]
Examine = Callable[..., Found]


@pytest.fixture
def answers() -> Answers:
    """What the provider says to a GET, by path; it may be changed."""
    return {"/v1/models": (200, {"data": [{"id": "big"}, {"id": "small"}]})}


@pytest.fixture
def upstream(answers: Answers) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, said = answers.get(self.path, (404, {}))
            if self.headers["authorization"] != "Bearer sk-canary":
                status = 401
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quietly."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def examine(
    tmp_path: Path,
    database: Database,
    upstream: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Examine:
    """Runs the command on a house in order, but for what is given; its findings by check."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    for role, variable in VARIABLES.items():
        monkeypatch.setenv(variable, database.url_for(role))
    model, file = tmp_path / "model.gguf", tmp_path / "penstock.yaml"
    model.write_bytes(GGUF)

    def examine(*, code: int = 0, **changed: str) -> Found:
        house = {
            "directory": str(tmp_path / "data"),
            "model": str(model),
            "sha256": hashlib.sha256(GGUF).hexdigest(),
            "upstream": upstream,
        }
        file.write_text(CONFIGURATION.format(**house | changed))
        monkeypatch.setattr(sys, "argv", ["penstock", "doctor", "--config", str(file), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        out, said = capsys.readouterr()
        assert ended.value.code == code, out + said
        assert "sk-canary" not in out + said
        return {each["check"]: each for each in json.loads(out)}

    return examine


def test_a_house_in_order(examine: Examine) -> None:
    found = examine()
    assert {each["verdict"] for each in found.values()} == {"good"}
    assert found.keys() == {
        *("configuration", "database", "migrations", "clock", "disk", "spool"),
        *("model of local", "provider of cloud"),
    }
    assert found["migrations"]["result"] == f"schema {migrations.newest()}"


def test_another_model_than_the_pinned_one(examine: Examine) -> None:
    found = examine(code=2, sha256="0" * 64)["model of local"]
    assert found["verdict"] == "bad"
    assert hashlib.sha256(GGUF).hexdigest() in found["result"]
    assert "No such file" in examine(code=2, model="/none.gguf")["model of local"]["result"]
    assert "not pinned" in examine(sha256="none")["model of local"]["result"]


@pytest.mark.parametrize(
    ("answer", "verdict", "said"),
    [
        ((401, {}), "bad", "refuses the key"),
        ((503, {}), "warning", "answers 503"),
        ((404, {}), "good", "answers"),
        ((200, {"data": [{"id": "other"}]}), "warning", "does not list big"),
        ((200, ["no list of models"]), "good", "answers"),
    ],
)
def test_what_a_provider_says(
    examine: Examine, answers: Answers, answer: tuple[int, Any], verdict: str, said: str
) -> None:
    answers["/v1/models"] = answer
    found = examine(code=doctor_code(verdict))["provider of cloud"]
    assert (found["verdict"], said in found["result"]) == (verdict, True)


def doctor_code(verdict: str) -> int:
    return {"good": 0, "warning": 1, "bad": 2}[verdict]


def test_a_provider_that_is_away(examine: Examine) -> None:
    found = examine(code=2, upstream="http://127.0.0.1:9/v1")["provider of cloud"]
    assert (found["verdict"], "does not answer" in found["result"]) == ("bad", True)


def test_a_schema_of_before_names_the_remedy(examine: Examine, database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as owner:
        owner.execute("UPDATE alembic_version SET version_num = '0018'")
        old = examine(code=2)["migrations"]
        owner.execute("UPDATE alembic_version SET version_num = '9999'")
        new = examine(code=2)["migrations"]
    assert old["remedy"] == "run `penstock db upgrade`"
    assert "install the release" in new["remedy"]


def test_a_database_without_a_schema(
    examine: Examine, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("DATABASE_URL", *VARIABLES.values()):
        monkeypatch.setenv(variable, empty_database.url)
    assert "schema 0000" in examine(code=2)["migrations"]["result"]


def test_a_database_that_is_away(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DATABASE_URL", *VARIABLES.values()):
        monkeypatch.setenv(variable, "postgresql://nobody:canary@127.0.0.1:9/none")
    found = examine(code=2)
    assert found["database"]["verdict"] == "bad"
    assert "canary" not in json.dumps(found)


def test_a_role_without_a_url_is_a_warning(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL_DASHBOARD")
    assert "DATABASE_URL_DASHBOARD is unset" in examine(code=1)["role"]["result"]


@pytest.mark.parametrize(
    ("seconds", "verdict", "said"), [(20, "warning", "ahead of"), (-7200, "bad", "behind")]
)
def test_a_clock_that_is_off(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, seconds: int, verdict: str, said: str
) -> None:
    class Off(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Off":
            return cls.fromtimestamp(
                (datetime.now(tz) + timedelta(seconds=seconds)).timestamp(), tz
            )

    monkeypatch.setattr(doctor, "datetime", Off)
    found = examine(code=doctor_code(verdict))["clock"]
    assert (found["verdict"], said in found["result"]) == (verdict, True)


def test_what_was_set_aside_in_the_spool(examine: Examine, tmp_path: Path) -> None:
    spool = tmp_path / "data" / "dataplane" / "spool"
    spool.mkdir(parents=True)
    (spool / "0000000000000001.damaged").write_bytes(b"x")
    (spool / "quarantine.jsonl").write_text("{}\n{}\n")
    assert "1 damaged segments and 2 refused" in examine(code=1)["spool"]["result"]


@pytest.mark.parametrize(("free_mib", "verdict"), [(10, "bad"), (500, "warning")])
def test_a_disk_that_is_nearly_full(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, free_mib: int, verdict: str
) -> None:
    usage = SimpleNamespace(free=free_mib << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert examine(code=doctor_code(verdict))["disk"]["verdict"] == verdict


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    assert "cannot be written" in examine(code=2)["disk"]["result"]


def test_a_configuration_that_is_wrong_is_a_finding_too(examine: Examine) -> None:
    found = examine(code=2, upstream="ftp://127.0.0.1")
    assert found.keys() == {"configuration"}


def test_without_json_a_person_can_read_it(
    examine: Examine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    examine()
    file = str(tmp_path / "penstock.yaml")
    monkeypatch.setattr(sys, "argv", ["penstock", "doctor", "--config", file])
    with pytest.raises(SystemExit):
        main()
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("good    ") for line in lines)
    assert lines[0] == "good    configuration: tiers local, cloud; the gateway listens at " + (
        "127.0.0.1:8080"
    )
