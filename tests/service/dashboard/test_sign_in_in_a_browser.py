"""The way from the sign-in page to an identity provider and back, in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.databases import on_sqlite_only
from tests.service.dashboard.browser import WatchedPage
from tests.service.identity_provider import behave, oidc_settings, running_provider
from tests.service.servers import free_port, running_server


@pytest.mark.slow
@on_sqlite_only
def test_person_comes_back_from_the_provider_signed_in_on_the_page_they_wanted(
    database_url: str, tmp_path: Path, watched: WatchedPage
) -> None:
    port, page = free_port(), watched.page
    with (
        running_provider() as issuer,
        running_server(database_url, tmp_path, port, more=oidc_settings(issuer)),
    ):
        behave(issuer, {"claims": {"groups": ["labelling"]}})
        page.goto(f"http://127.0.0.1:{port}/dashboard/jobs")
        watched.check_accessibility()
        page.get_by_role("link", name="Sign in with localhost").click()

        expect(page.get_by_text("Signed in as ana@example.com")).to_be_visible()
        assert page.url.endswith("/dashboard/jobs")
        watched.leave()
