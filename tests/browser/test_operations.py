"""What an operator looks at when something is wrong: the local box, and what waits or was lost."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page, expect

from controlplane.database import Database
from tests.browser.conftest import Picture, Site, serve
from tests.seeding import Past, added_up, ran, seed, told

PACED = 'UPDATE attempts SET ttft_ms = 5 + "offset" % 40, tokens_per_s = 50 + "offset" % 60'


@pytest.fixture(scope="module")
def site(shared_database: Database, logs: Path) -> Iterator[Site]:
    """A dashboard on a store whose data planes told of themselves for five minutes."""
    url, now = shared_database.url, datetime.now(UTC) + timedelta(seconds=20)
    seed(url, Past(until=datetime.now(UTC)))
    told(url, now, dropped=12, last_error="connection refused <b>no</b>")
    ran(url, now, cycle="done", rollup="failed", shadow="done")
    with psycopg.connect(url) as owner:
        owner.execute(PACED.encode())
    added_up(shared_database)
    with serve(shared_database, logs) as served:
        yield served


def test_what_was_lost_is_said_first(site: Site, page: Page, picture: Picture) -> None:
    page.goto(f"{site.url}/system?period=hour")
    expect(page.get_by_text("Records were lost.")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("link", name="Overview")).to_be_visible()
    expect(page.get_by_role("link", name="app")).to_have_count(0)
    expect(page.get_by_text("12 dropped: the spool was full")).to_be_visible()
    expect(page.get_by_text("connection refused <b>no</b>")).to_be_visible()
    expect(page.locator("canvas, svg.marks").first).to_be_visible()
    picture(page, "system")


def test_whether_the_box_keeps_up(site: Site, page: Page, picture: Picture) -> None:
    page.goto(f"{site.url}/local_tier?period=hour")
    tier = page.get_by_test_id("stMetric").filter(has_text="queries wait for a slot")
    expect(tier).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("stMetric").filter(has_text="8 waiting")).to_be_visible()
    expect(page.locator("canvas, svg.marks").first).to_be_visible()
    picture(page, "local_tier")


def test_a_filter_is_kept_in_the_address(site: Site, page: Page, picture: Picture) -> None:
    page.goto(f"{site.url}/?period=hour&tier=local")
    saved = page.get_by_test_id("stMetric").filter(has_text="one tier saves nothing by itself")
    expect(saved).to_be_visible(timeout=30_000)
    picture(page, "overview_of_a_tier")


def test_a_schema_of_another_build_is_said_before_all(
    site: Site, page: Page, picture: Picture
) -> None:
    with psycopg.connect(site.database.url) as owner:
        owner.execute("UPDATE alembic_version SET version_num = '0012'")
    page.goto(f"{site.url}/system?period=hour")
    said = page.get_by_text("schema 0012, this build wants")
    expect(said).to_contain_text("penstock db upgrade", timeout=30_000)
    expect(page.locator("canvas, svg.marks").first).to_be_visible(timeout=30_000)
    picture(page, "system_of_another_schema")
