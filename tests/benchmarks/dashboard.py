"""How long each page of the dashboard takes to show, on millions of seeded decisions.

``script``: a run of the page's script with its default filters, nothing kept in memory.
``browser``: a navigation of a real browser, its own cache warm, until the script has ended and
every chart is drawn. Pages take turns, so slowly that what the dashboard keeps of a page in memory
has expired when its turn comes again.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import streamlit as st
from playwright.sync_api import Page, sync_playwright
from streamlit.testing.v1 import AppTest

import dashboard
from tests.benchmarks.figure import write
from tests.benchmarks.seed_decisions import parser, scratch, span
from tests.browser.conftest import Site, serve

LOADS = 20
EXPIRED_S = 11.0  # longer than any page is kept in memory
PATIENCE_MS = 60_000
TARGET_S = 1.0
HOME = "overview"
PAGES = Path(str(dashboard.__file__)).with_name("pages")
SHOWN = """
() => {
    const all = (name) => [...document.querySelectorAll(`[data-testid=${name}]`)];
    return all('stApp')[0]?.dataset.testScriptState === 'notRunning'
        && document.querySelector('[data-testid=stMainBlockContainer] h2')
        && all('stSpinner').length === 0 && all('stSkeleton').length === 0
        && all('stVegaLiteChart').every((chart) => chart.querySelector('canvas, svg'));
}
"""


def run(site: Site, names: Sequence[str], loads: int) -> dict[str, list[float]]:
    """Seconds of each run of the scripts by page, but for the first, which imports."""
    os.environ.update(site.environment)
    took: dict[str, list[float]] = {}
    for name in names:
        test = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=PATIENCE_MS / 1000)
        test.run()
        took[name] = [_run(test) for _ in range(loads)]
        for error in [*test.error, *test.exception]:
            sys.stderr.write(f"{name}: {error.value}\n")
    return took


def _run(test: AppTest) -> float:
    st.cache_data.clear()
    began_s = time.perf_counter()
    test.run()
    return time.perf_counter() - began_s


def browse(site: Site, names: Sequence[str], loads: int) -> dict[str, list[float]]:
    """Seconds of each navigation by page, but for the first, of which scripts are imported."""
    took: dict[str, list[float]] = {name: [] for name in names}
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        for turn in range(loads + 1):
            began_s = time.monotonic()
            for name in names:
                seconds = _load(page, f"{site.url}/{'' if name == HOME else name}")
                if turn:
                    took[name].append(seconds)
            sys.stderr.write(f"{turn} of {loads} loads\r")
            time.sleep(max(0.0, EXPIRED_S - (time.monotonic() - began_s)))
        browser.close()
    return took


def _load(page: Page, url: str) -> float:
    page.goto("about:blank")
    began_s = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_function(SHOWN, timeout=PATIENCE_MS)
    took_s = time.perf_counter() - began_s
    for alert in page.get_by_test_id("stAlertContentError").all():
        sys.stderr.write(f"{url}: {alert.inner_text()}\n")
    return took_s


def summary(took: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """By page: median and 95th percentile in seconds."""
    return {
        name: {"median_s": float(np.median(each)), "p95_s": float(np.quantile(each, 0.95))}
        for name, each in took.items()
    }


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """As Markdown."""
    lines = [
        "| page | script: median (s) | p95 (s) | browser: median (s) | p95 (s) | aim (s) |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in found["script"].items():
        both = (each, found["browser"][name])
        cells = " | ".join(f"{one['median_s']:.2f} | {one['p95_s']:.2f}" for one in both)
        lines.append(f"| {name} | {cells} | {TARGET_S:g} |")
    return "\n".join(lines)


def pages() -> list[str]:
    """Those of the dashboard, by the name in their address."""
    from dashboard import app

    return list(app.PAGES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Seed or find the store, measure, print, and write; 0 once measured."""
    made: argparse.ArgumentParser = parser("dashboard", __doc__)
    made.add_argument("--loads", type=int, default=LOADS, help="of each page")
    made.add_argument("--page", action="append", help="only this one (may be given again)")
    made.add_argument("--json", help="write the figures to FILE, - for standard output")
    given = made.parse_args(arguments)
    if shutil.which("chromium") is None:
        made.error("there is no chromium: install it by `make browser`")
    with (
        TemporaryDirectory(prefix="penstock-logs-") as logs,
        scratch(span(given), given.keep) as database,
        serve(database, Path(logs)) as site,
    ):
        names = given.page or pages()
        ways = {"script": run, "browser": browse}
        found = {way: summary(take(site, names, given.loads)) for way, take in ways.items()}
    sys.stderr.write(table(found) + "\n")
    write({"decisions": given.decisions, "days": given.days, **found}, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
