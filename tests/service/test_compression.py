"""Which answers are compressed."""

import pytest
from fastapi.testclient import TestClient

from service.dashboard.assets import asset_url
from tests.databases import on_sqlite_only

pytestmark = on_sqlite_only


@pytest.mark.parametrize("path", ["/openapi.json", asset_url("js/api.js")])
def test_long_answer_without_a_secret_is_compressed_for_clients_that_can_read_it(
    client: TestClient, path: str
) -> None:
    compressed = client.get(path, headers={"Accept-Encoding": "gzip"})
    plain = client.get(path, headers={"Accept-Encoding": "identity"})

    assert compressed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert int(compressed.headers["Content-Length"]) < len(plain.content) / 2
    assert compressed.content == plain.content
    assert plain.headers["Vary"] == compressed.headers["Vary"] == "Accept-Encoding"


def test_page_with_text_of_its_address_is_not_compressed(client: TestClient) -> None:
    page = client.get(f"/dashboard/{'a' * 20_000}", headers={"Accept-Encoding": "gzip"})

    assert len(page.content) > 20_000
    assert "Content-Encoding" not in page.headers
