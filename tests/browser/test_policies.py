"""What is live and what is coming, and an operator's word on it."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Picture, Site
from tests.underway import answered, kept_locally, proposed


@pytest.fixture(scope="module")
def busy(site: Site) -> Site:
    """A store with seven versions, four data planes and a proposal in the shadow."""
    now = datetime.now(UTC)
    answered(site.database)
    for number in range(12):
        before = timedelta(seconds=10 * number + 9)
        kept_locally(site.database, now - before, f"Who wrote {number}?")
    proposed(site.database)
    return site


def test_roll_back_a_policy_with_a_reason(busy: Site, page: Page, picture: Picture) -> None:
    page.goto(f"{busy.url}/policies")
    expect(page.get_by_text("48 pairs among 1,500 queries")).to_be_visible(timeout=60_000)
    expect(page.get_by_test_id("stMetric").filter(has_text="Live policy")).to_contain_text("v7")
    picture(page, "policies")
    page.get_by_role("button", name="Roll back to v6").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("decides all conversations at once", timeout=30_000)
    expect(dialog).to_contain_text("points of quality")
    picture(page, "policies-dialog")
    deed = dialog.get_by_role("button", name="Roll back to v6")
    deed.click()
    expect(dialog).to_contain_text("Say why", timeout=30_000)
    assert publications(busy) == 7
    page.wait_for_timeout(6_000)  # what is drawn anew by itself leaves the dialog alone
    dialog.get_by_label("Why?").fill("customers <b>complain</b>")
    deed.click()
    expect(page.get_by_text("Done: v6 is in force")).to_be_visible(timeout=30_000)
    expect(dialog).to_be_hidden()
    expect(page.get_by_test_id("stMetric").filter(has_text="Live policy")).to_contain_text("v6")
    with psycopg.connect(busy.database.url) as owner:
        newest = owner.execute(
            "SELECT in_force -> 0 -> 'version', reason FROM publications ORDER BY seq DESC LIMIT 1"
        ).fetchone()
    assert newest is not None
    assert newest[0] == 6
    assert str(newest[1]).endswith("customers <b>complain</b>")


def test_who_thinks_better_of_it_changes_nothing(busy: Site, page: Page) -> None:
    before = publications(busy)
    page.goto(f"{busy.url}/policies")
    freeze = page.get_by_role("button", name="Freeze the learner")
    expect(freeze).to_be_visible(timeout=60_000)
    freeze.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It moves nothing", timeout=30_000)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden(timeout=30_000)
    page.wait_for_timeout(6_000)
    expect(page.get_by_role("dialog")).to_be_hidden()
    learner = page.get_by_test_id("stMetric").filter(has_text="it may move the policy")
    expect(learner).to_contain_text("free")
    assert publications(busy) == before


def publications(site: Site) -> int:
    with psycopg.connect(site.database.url) as owner:
        (count,) = owner.execute("SELECT count(*) FROM publications").fetchone() or (0,)
    return int(count)
