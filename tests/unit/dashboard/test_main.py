import socket
import subprocess
import sys

import pytest

from dashboard.__main__ import options
from dashboard.login import LOOPBACK


def run(*words: str, url: str = "", **login: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dashboard", *words],
        env={"PATH": "/usr/bin", "DATABASE_URL_DASHBOARD": url, **login},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_tells_nobody_of_its_use_and_shows_no_traceback() -> None:
    chosen = options("127.0.0.1", 8501)
    assert chosen["browser_gatherUsageStats"] is False
    assert chosen["server_headless"] is True
    assert chosen["client_showErrorDetails"] == "none"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_only_loopback_names_are_served(address: str) -> None:
    assert "127.0.0.1" in str(options(address, 1)["server_allowedHosts"])


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run(f"--port={port}", url="postgresql://x@/y")
    assert ran.returncode == 2
    assert ran.stderr.strip() == (
        f"dashboard: port {port} on 127.0.0.1 is in use: stop the other program or give --port"
    )


def test_without_a_database_it_says_so() -> None:
    ran = run(f"--port={free_port()}")
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "DATABASE_URL_DASHBOARD is unset" in ran.stderr


def test_behind_a_wildcard_address_the_names_are_given() -> None:
    named = options("0.0.0.0", 1, ["penstock.example.org"])["server_allowedHosts"]
    assert named == ["penstock.example.org", *LOOPBACK]
    assert options("0.0.0.0", 1)["server_allowedHosts"] == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "login", "says"),
    [
        ("0.0.0.0", {}, "whoever reaches 0.0.0.0 would be the operator: listen at 127.0.0.1"),
        ("127.0.0.1", {"PENSTOCK_LOGIN": "maybe"}, "set it to none, oidc or proxy"),
        ("127.0.0.1", {"PENSTOCK_LOGIN": "proxy"}, "nobody may log in"),
    ],
)
def test_what_would_let_in_anybody_or_nobody_is_refused(
    address: str, login: dict[str, str], says: str
) -> None:
    words = (f"--address={address}", f"--port={free_port()}")
    ran = run(*words, url="postgresql://x@/y", **login)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert says in ran.stderr
