"""Every page of the dashboard: what it answers, and what it loads."""

import re
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from service.dashboard.assets import DIGEST, STATIC_PATH
from service.dashboard.endpoints import NAVIGATION
from tests.databases import on_sqlite_only

pytestmark = on_sqlite_only

PATHS = [page.path for page in NAVIGATION]
each_page = pytest.mark.parametrize("path", PATHS)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Markup(HTMLParser):
    """Collects what a page loads, and what its policy forbids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.inline += [name for name in values if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and not values.get("src")):
            self.inline.append(tag)
        address = values.get("src") or (values.get("href") if tag == "link" else None)
        if address:
            self.loaded.append(address)


@each_page
def test_page_of_a_new_service_forbids_all_but_its_own_files(client: TestClient, path: str) -> None:
    page = client.get(path)

    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "same-origin"


@each_page
def test_page_has_no_inline_code_and_loads_only_kept_files(client: TestClient, path: str) -> None:
    markup = Markup(client.get(path).text)

    assert markup.inline == []
    assert len(markup.loaded) >= 3
    for address in markup.loaded:
        assert address.startswith(f"{STATIC_PATH}/{DIGEST}/")
        file = client.get(address)
        assert file.status_code == 200
        assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_every_page_is_in_the_navigation_of_every_page(client: TestClient) -> None:
    html = client.get("/").text

    for page in NAVIGATION:
        assert f'href="{page.path}"' in html
    assert len({page.key for page in NAVIGATION}) == len(NAVIGATION)
    assert re.findall(r'href="([^"]+)"[^>]* aria-current="page"', html) == ["/"]


def test_unknown_page_is_a_page_that_leads_on(client: TestClient) -> None:
    page = client.get("/dashboard/<script>")

    assert page.status_code == 404
    assert page.headers["Content-Security-Policy"] == POLICY
    assert "<script>" not in page.text.partition("<main")[2]
    assert 'href="/"' in page.text


@pytest.mark.parametrize("path", ["0123456789abcdef/css/dashboard.css", f"{DIGEST}/../page.py"])
def test_files_of_another_release_and_beside_the_folder_are_unknown(
    client: TestClient, path: str
) -> None:
    assert client.get(f"{STATIC_PATH}/{path}").status_code == 404


def test_pages_are_no_calls_of_the_api(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    assert not {"/", *PATHS} & set(paths)
    assert client.get("/no-such-call").headers["Content-Type"] == "application/problem+json"


def test_first_run_goes_from_the_detector_to_the_images(serving: TestClient) -> None:
    html = serving.get("/").text

    assert "squares serves" in html
    assert "data-detector-form" not in html
    assert "data-images-form" in html
