"""The savings, as an operator sees them."""

from playwright.sync_api import Page, expect

from dashboard.figures.overview import read
from dashboard.period import PERIODS
from dashboard.store import snapshot
from tests.browser.conftest import Picture, Site


def test_see_the_savings(site: Site, page: Page, picture: Picture) -> None:
    page.goto(f"{site.url}/?period=hour")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=30_000)
    saved = page.get_by_test_id("stMetric").filter(has_text="Cost saved against always-cloud")
    with snapshot(site.database.url_for("penstock_dashboard")) as store:
        share = read(store, PERIODS["hour"]).money.saved_share
    assert share is not None
    expect(saved).to_contain_text(f"{100 * share:.0f} %")
    expect(page.get_by_text("SIMULATED in this period")).to_be_visible()
    expect(page.locator("canvas, svg.marks").first).to_be_visible()
    picture(page, "overview")


def test_the_period_is_kept_in_the_address(site: Site, page: Page) -> None:
    page.goto(site.url)
    page.get_by_role("radio", name="week").click()
    page.wait_for_url("**/?period=week")
    page.reload()
    expect(page.get_by_role("radio", name="week")).to_be_checked(timeout=30_000)
