"""A login by OpenID Connect, from the button to the page of one's role."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from controlplane.database import Database
from controlplane.launch import free_ports
from tests.browser.conftest import serve

pytest.importorskip("authlib", reason="penstock[oidc] is not installed")
FOREVER_MS = 60_000


@pytest.mark.parametrize(
    ("claims", "sees"),
    [
        ({"email": "Rita@example.org", "email_verified": True}, "Is the answer right?"),
        ({"email": "eve@example.org", "email_verified": True}, "has no role here"),
        ({"email": "rita@example.org", "email_verified": False}, "does not say that your e-mail"),
    ],
)
def test_who_logs_in_comes_to_the_page_of_their_role(
    database: Database, tmp_path: Path, page: Page, claims: dict[str, Any], sees: str
) -> None:
    from tests.browser.provider import CLIENT, provider

    port, own = free_ports(2)
    with provider(port, claims) as issuer:
        login = {
            "PENSTOCK_LOGIN": "oidc",
            "PENSTOCK_LOGIN_REVIEWERS": "rita@example.org",
            "PENSTOCK_OIDC_METADATA_URL": f"{issuer}/.well-known/openid-configuration",
            "PENSTOCK_OIDC_REDIRECT_URI": f"http://127.0.0.1:{own}/oauth2callback",
            "PENSTOCK_OIDC_CLIENT_ID": CLIENT,
            "PENSTOCK_OIDC_CLIENT_SECRET": "s" * 32,
            "PENSTOCK_OIDC_COOKIE_SECRET": "c" * 32,
        }
        with serve(database, tmp_path, login, own) as site:
            page.goto(f"{site.url}/overview")
            page.get_by_role("button", name="Log in").click(timeout=FOREVER_MS)
            expect(page.get_by_text(sees)).to_be_visible(timeout=FOREVER_MS)
            for shut in page.get_by_test_id("stExpandSidebarButton").all():
                shut.click()
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=FOREVER_MS)
