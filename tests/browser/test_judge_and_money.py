"""Can I trust it, where on the frontier, why did spend change: three questions, as asked."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from controlplane.database import Database
from dashboard.figures.judge import read as read_judge
from dashboard.figures.quality import read as read_quality
from dashboard.filters import Filters
from dashboard.store import snapshot
from tests.browser.conftest import Picture, Site, serve
from tests.kept import remember, tabled
from tests.seeding import Past

WAIT_MS = 60_000


@pytest.fixture(scope="module")
def site(shared_database: Database, logs: Path) -> Iterator[Site]:
    """A dashboard on a store with a past, and what the control plane's jobs kept of it."""
    remember(shared_database, Past(until=datetime.now(UTC), queries=900, audit_rate=0.4))
    tabled(shared_database)
    with serve(shared_database, logs) as served:
        yield served


def settle(page: Page) -> None:
    """Until all is drawn."""
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=WAIT_MS)
    expect(page.locator("canvas, svg.marks").first).to_be_visible(timeout=WAIT_MS)


def test_can_i_trust_the_judge(site: Site, page: Page, picture: Picture) -> None:
    page.goto(f"{site.url}/judge?period=day")
    expect(page.get_by_role("heading", name="Judge accuracy")).to_be_visible(timeout=WAIT_MS)
    with snapshot(site.database.url_for("penstock_dashboard")) as store:
        report = read_judge(store, Filters("day")).report
    assert report is not None
    ranking = page.get_by_test_id("stMetric").filter(has_text="AUROC")
    expect(ranking).to_contain_text(f"{report['auroc']:.2f}", timeout=WAIT_MS)
    expect(page.get_by_text("Why:")).to_be_visible()
    settle(page)
    picture(page, "judge")
    page.get_by_role("tab", name="Over time").click()
    page.wait_for_url("**view=Over*", timeout=WAIT_MS)
    expect(page.get_by_text("Boxes: stretches")).to_be_visible(timeout=WAIT_MS)
    settle(page)
    picture(page, "judge-over-time")


def test_where_on_the_frontier(site: Site, page: Page, picture: Picture) -> None:
    page.goto(f"{site.url}/quality?period=day")
    expect(page.get_by_role("heading", name="Quality and cost")).to_be_visible(timeout=WAIT_MS)
    with snapshot(site.database.url_for("penstock_dashboard")) as store:
        served = read_quality(store, Filters("day")).point("served")
    assert served is not None
    right = page.get_by_test_id("stMetric").filter(has_text="Right answers, as served")
    expect(right).to_contain_text(f"{100 * served['quality']:.1f} %", timeout=WAIT_MS)
    settle(page)
    picture(page, "quality")


def test_why_did_spend_change(site: Site, page: Page, picture: Picture) -> None:
    page.goto(f"{site.url}/cost?period=hour")
    expect(page.get_by_role("heading", name="Cost drift")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("Spend rose by")).to_be_visible(timeout=WAIT_MS)
    settle(page)
    picture(page, "cost")
    page.get_by_role("radio", name="the four before").click()
    page.wait_for_url("**against=*", timeout=WAIT_MS)
