"""The page at /docs, which loads nothing from elsewhere."""

import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

import service
from tests.databases import on_sqlite_only

STATIC = Path(service.__file__).parent / "static"
VENDOR = STATIC / "vendor"


@on_sqlite_only
def test_docs_load_only_files_of_the_service(client: TestClient) -> None:
    page = client.get("/docs")

    loaded = [
        address
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.text)
        if not address.startswith("data:")
    ]
    assert len(loaded) == 3
    for address in loaded:
        assert "//" not in address
        answer = client.get(urljoin("/docs", address))
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(("text/javascript", "text/css"))


@on_sqlite_only
def test_docs_forbid_the_browser_to_load_anything_else(client: TestClient) -> None:
    policy = client.get("/docs").headers["Content-Security-Policy"]

    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    sources = {source for sources in directives.values() for source in sources.split()}
    assert sources == {"'none'", "'self'", "data:"}


@on_sqlite_only
@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect", "/static/../app.py"])
def test_nothing_else_is_served_beside_the_docs(client: TestClient, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"


def test_vendored_files_are_those_that_their_page_lists() -> None:
    page = (VENDOR / "README.md").read_text(encoding="utf-8")

    listed = dict(re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", page, re.MULTILINE))

    found = {
        str(path.relative_to(VENDOR)): sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert listed == found
