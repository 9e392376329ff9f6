"""``python -m dashboard``: Streamlit on this dashboard, headless, telling nobody of its use.

It reads the database that ``DATABASE_URL_DASHBOARD`` names, as role penstock_dashboard.
"""

import argparse
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from altair.utils import schemapi
from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import bootstrap

from dashboard.login import LOOPBACK, Login, LoginError, refusal, secrets
from dashboard.store import URL_VARIABLE

APP = Path(__file__).with_name("app.py")


def main() -> int:
    """Serve until stopped; 2 for what the operator can mend, told in a line."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=8501, help="on which TCP port")
    parser.add_argument(
        "--host", action="append", default=[], help="a name by which browsers may reach it"
    )
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin closes")
    asked = parser.parse_args()
    if taken := _taken(asked.address, asked.port):
        return _say(taken, 2)
    if not os.environ.get(URL_VARIABLE):
        return _say(f"{URL_VARIABLE} is unset: name the database there, or use `penstock up`", 2)
    try:
        login = Login.of(os.environ)
    except LoginError as error:
        return _say(str(error), 2)
    if refused := refusal(login, asked.address, os.environ):
        return _say(refused, 2)
    if asked.watch_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    with secrets(login, os.environ) as told:
        _serve(options(asked.address, asked.port, asked.host) | told)
    return 0


def options(address: str, port: int, hosts: Sequence[str] = ()) -> dict[str, object]:
    """Streamlit's configuration, over whatever files it finds.

    Loopback is served under its own names and ``hosts`` alone, so that no foreign name can be made
    to point here; so is another address, but without ``hosts`` under any name.
    """
    named = [*hosts, *LOOPBACK] if hosts or address in LOOPBACK else []
    return {
        "server_address": address,
        "server_port": port,
        "server_headless": True,
        "server_fileWatcherType": "none",
        "server_allowedHosts": named,
        "server_enableAgentApi": False,  # it would serve programs beside the login
        "browser_gatherUsageStats": False,
        "client_showErrorDetails": "none",
        "client_toolbarMode": "minimal",
        "logger_hideWelcomeMessage": True,
        "runner_postScriptGC": False,  # Python collects by itself, and not while somebody waits
        "theme_primaryColor": "#0072B2",
    }


def _serve(flags: dict[str, object]) -> None:
    """Every page through ``app.py``, which knows who may see it, and every peer as it is."""
    PagesManager.uses_pages_directory = False  # else the first visitor has any of pages/ directly
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # else uvicorn takes a header's word for the peer
    _trust_charts()
    bootstrap.load_config_options(flags)
    bootstrap.run(str(APP), False, [], flags)


def _trust_charts() -> None:
    """Tests hold charts against their schema, which takes a tenth of a second a page."""
    schemapi.disable_debug_mode()
    schemapi.SchemaBase.validate = staticmethod(lambda *_, **__: None)  # type: ignore[method-assign]


def _taken(address: str, port: int) -> str | None:
    """Why the address cannot be listened at; Streamlit would only trace it."""
    try:
        family, *_, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"port {port} on {address} is in use: stop the other program or give --port"
        return f"cannot listen on {address}:{port}: {error.strerror}; give another --address"
    return None


def _end_with_stdin() -> None:
    """The end of standard input, which whoever started us holds open, is a SIGTERM."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _say(words: str, code: int = 0) -> int:
    sys.stderr.write(f"dashboard: {words}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
