from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.service.dashboard.browser import WatchedPage, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def watched(browser: Browser) -> Iterator[WatchedPage]:
    page = browser.new_page(color_scheme="dark")
    watched = WatchedPage(page)
    yield watched
    page.close()
    assert watched.wrong == [], "\n".join(watched.wrong)
