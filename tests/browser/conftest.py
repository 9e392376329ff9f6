"""A dashboard on a store with a past, the control plane's API beside it, and a real browser."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, sync_playwright

from controlplane import planes
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.launch import Program, free_ports, running, sheltered
from tests.browser.server import listening
from tests.pages import serving
from tests.seeding import Past, seed

WIDTHS = {"desk": (1440, 900), "phone": (390, 844)}
PICTURES = "PENSTOCK_PICTURES"  # a folder: screenshots are kept there, to be looked at
HEIGHT = "document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a dashboard is, the store that it shows, and what it was started with."""

    url: str
    control_url: str
    database: Database
    environment: Mapping[str, str]


Picture: TypeAlias = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, for one module: while it is driven, no test can run an event loop."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("there is no chromium: install it by `make browser`")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a module's dashboard writes its log."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def site(shared_database: Database, logs: Path) -> Iterator[Site]:
    """A dashboard on a store with 400 queries of the last hour; its operator is on this machine."""
    seed(shared_database.url, Past(until=datetime.now(UTC)))
    with serve(shared_database, logs) as served:
        yield served


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page; in the end, nothing was asked of any other machine, and no script failed."""
    context = chromium.new_context(viewport=_size("desk"), timezone_id="Europe/Paris")
    page = context.new_page()
    strangers: list[str] = []
    failures: list[str] = []
    page.on("request", lambda request: strangers.extend(_foreign(request)))
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    context.close()
    assert strangers == []
    assert failures == []


@pytest.fixture
def picture() -> Picture:
    """Keeps screenshots at both widths where ``PENSTOCK_PICTURES`` names a folder."""
    folder = os.environ.get(PICTURES)

    def keep(page: Page, name: str) -> None:
        if folder is None:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        for width in WIDTHS:
            size = _size(width)
            page.set_viewport_size(size)
            page.wait_for_timeout(700)  # charts are drawn anew for the width
            page.set_viewport_size({"width": size["width"], "height": page.evaluate(HEIGHT) + 80})
            page.wait_for_timeout(300)
            page.screenshot(path=Path(folder) / f"{name}-{width}.png")
        page.set_viewport_size(_size("desk"))

    return keep


@contextmanager
def serve(
    database: Database,
    logs: Path,
    login: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Site]:
    """The control plane's API on a thread, the dashboard as a process of its own.

    ``login``: who may see it, as its environment says; None: whoever reaches it is the operator.
    """
    control, free = free_ports(2)
    port = port or free
    session = partial(connect, database.url_for("penstock_controlplane"))
    with ExitStack() as stack:
        stack.enter_context(listening(stack.enter_context(serving(database)), control))
        keys = stack.enter_context(planes.dashboard_keys(session))
        environment = {
            **sheltered(),
            **{planes.key_variable(role): key for role, key in keys.items()},
            **(login or {}),
            planes.CONTROL_URL: f"http://127.0.0.1:{control}",
            "DATABASE_URL_DASHBOARD": database.url_for("penstock_dashboard"),
        }
        url = f"http://127.0.0.1:{port}"
        program = Program(
            "dashboard",
            "dashboard",
            (f"--port={port}", "--watch-stdin"),
            environment,
            f"{url}/_stcore/health",
        )
        stack.enter_context(running(program, logs))
        yield Site(url, environment[planes.CONTROL_URL], database, environment)


def _size(width: str) -> ViewportSize:
    wide, high = WIDTHS[width]
    return {"width": wide, "height": high}


def _foreign(request: Request) -> list[str]:
    """The address, if it is one of another machine."""
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:")
    return [] if request.url.startswith(local) else [request.url]
