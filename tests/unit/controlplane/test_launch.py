import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from controlplane.launch import (
    PartFailedError,
    Program,
    answers,
    free_ports,
    result,
    running,
    sheltered,
)

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of this test can be imported by the children."""
    monkeypatch.syspath_prepend(str(tmp_path))


def program(tmp_path: Path, source: str, *arguments: str, **options: str | float) -> Program:
    (tmp_path / "part_of_a_test.py").write_text(textwrap.dedent(source))
    return Program("test part", "part_of_a_test", arguments, sheltered(), **options)  # type: ignore[arg-type]  # as given


pytestmark = pytest.mark.usefixtures("write")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_part_runs_until_the_context_ends(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/"
    server = program(tmp_path, SERVER, str(port), ready_url=url)
    with running(server, tmp_path / "logs") as part:
        assert answers(url)
        part.check()
    assert not answers(url)
    assert not alive(part.pid)


def test_a_part_that_dies_says_so_with_its_last_words(tmp_path: Path) -> None:
    dying = "import sys; sys.exit('no such thing: buy one')"
    broken = program(tmp_path, dying, ready_url="http://127.0.0.1:1/")
    with (
        pytest.raises(
            PartFailedError, match=r"test part ended with code 1: no such thing: buy"
        ) as e,
        running(broken, tmp_path / "logs"),
    ):
        pass
    assert "\n" not in str(e.value)
    assert str(tmp_path / "logs" / "test-part.log") in str(e.value)


def test_a_part_that_never_answers_is_stopped(tmp_path: Path) -> None:
    idle = program(
        tmp_path, "import time; time.sleep(60)", ready_url="http://127.0.0.1:1/", deadline_s=0.3
    )
    with (
        pytest.raises(PartFailedError, match=r"gave no answer within 0\.3 s"),
        running(idle, tmp_path / "logs"),
    ):
        pass


def test_its_output_can_be_read(tmp_path: Path) -> None:
    with running(program(tmp_path, "print('one'); print('two')"), tmp_path, piped=True) as part:
        assert list(part.lines) == [b"one\n", b"two\n"]
        part.wait(10)


def test_a_part_can_tell_when_we_are_gone(tmp_path: Path) -> None:
    waits = "import sys; sys.stdin.read(); print('gone', flush=True)"
    with running(program(tmp_path, waits), tmp_path, piped=True) as part:
        assert part._process.stdin is not None
        part._process.stdin.close()
        assert part.lines.read() == b"gone\n"


def test_a_part_that_ends_badly_is_not_waited_for_in_vain(tmp_path: Path) -> None:
    with (
        running(program(tmp_path, "raise SystemExit(3)"), tmp_path) as part,
        pytest.raises(PartFailedError, match="ended with code 3"),
    ):
        part.wait(10)


def test_a_stubborn_part_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.launch.STOP_S", 0.2)
    stubborn = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("up", flush=True)
        time.sleep(60)
    """
    with running(program(tmp_path, stubborn), tmp_path, piped=True) as part:
        assert part.lines.readline() == b"up\n"
    assert part._process.returncode == -signal.SIGKILL


def test_a_result_is_what_a_program_says_to_a_task(tmp_path: Path) -> None:
    upper = program(tmp_path, "import sys; print(sys.stdin.read().upper(), end='')")
    assert result(upper, tmp_path, b"task", 10) == b"TASK"


def test_a_result_that_does_not_come(tmp_path: Path) -> None:
    failing = program(tmp_path, "import sys; sys.exit('cannot')")
    with pytest.raises(PartFailedError, match="cannot"):
        result(failing, tmp_path, b"", 10)
    idle = program(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(PartFailedError, match="did not end"):
        result(idle, tmp_path, b"", 0.2)


def test_no_exported_key_or_address_reaches_a_sheltered_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DATABASE_URL", "HTTP_PROXY"):
        monkeypatch.setenv(name, "canary")
    assert "canary" not in sheltered().values()
    assert sheltered()["PATH"] == os.environ["PATH"]


def test_free_ports_differ() -> None:
    assert len(set(free_ports(5))) == 5


def test_a_child_imports_what_we_import(tmp_path: Path) -> None:
    told = program(tmp_path, "import controlplane; print(controlplane.__file__, end='')")
    import controlplane

    assert result(told, tmp_path, b"", 20).decode() == controlplane.__file__
    assert sys.executable == told.command[0]
