"""Why this answer: found and read by an engineer, whatever was written into it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Picture, Site
from tests.underway import explained, kept_locally


@dataclass(frozen=True, slots=True)
class Told:
    """A site whose store has two decisions that can be explained."""

    site: Site
    escalated: str
    local: str


@pytest.fixture(scope="module")
def told(site: Site) -> Told:
    now = datetime.now(UTC)
    escalated = explained(site.database, now - timedelta(seconds=20))
    local = kept_locally(site.database, now - timedelta(seconds=30), "Who wrote it?")
    return Told(site, escalated, local)


def test_find_a_decision_and_read_why(told: Told, page: Page, picture: Picture) -> None:
    page.goto(f"{told.site.url}/decisions")
    search = page.get_by_label("Decision or request id")
    expect(page.get_by_role("link", name="Overview")).to_be_visible(timeout=60_000)
    expect(search).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Choose a row to see why.")).to_be_visible(timeout=30_000)
    picture(page, "decisions")
    search.fill("order-78")
    search.press("Enter")
    expect(page.get_by_text("1 decision among")).to_be_visible(timeout=30_000)
    assert "id=order-78" in page.url
    grid = page.get_by_test_id("stDataFrame").first
    grid.click(position={"x": 16, "y": 52})
    expect(page.get_by_role("heading", name=f"Decision {told.local}")).to_be_visible(timeout=30_000)
    assert f"decision={told.local}" in page.url
    expect(page.get_by_text("came out the same to the last bit")).to_be_visible()
    expect(page.get_by_role("heading", name="What other policies would have done")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name=f"Decision {told.local}")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Back to the log").click()
    expect(page.get_by_label("Decision or request id")).to_have_value("order-78", timeout=30_000)


def test_what_was_written_into_it_is_shown_and_does_not_run(
    told: Told, page: Page, picture: Picture
) -> None:
    page.goto(f"{told.site.url}/decisions?decision={told.escalated}")
    prompt = page.get_by_test_id("stCode").first
    expect(prompt).to_contain_text("<script>document.title='stolen'</script>", timeout=60_000)
    expect(prompt).to_contain_text("[click](javascript:")
    expect(page.get_by_text("order-77 <script>")).to_be_visible()
    assert page.locator("img[src='x'], a[href^='javascript'], .katex").count() == 0
    assert page.locator("script", has_text="stolen").count() == 0
    assert page.title() != "stolen"
    picture(page, "decision")


def test_words_in_a_text_lead_to_it(told: Told, page: Page) -> None:
    page.goto(f"{told.site.url}/decisions")
    words = page.get_by_label("Words in the prompt or an answer")
    expect(words).to_be_visible(timeout=60_000)
    words.fill("<script>")
    words.press("Enter")
    expect(page.get_by_text("1 decision with these words")).to_be_visible(timeout=30_000)
    assert page.title() != "stolen"
