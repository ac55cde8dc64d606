"""Pages of versions that are not in the navigation."""

import pytest
from fastapi.testclient import TestClient

from tests.databases import on_sqlite_only

pytestmark = on_sqlite_only


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/dashboard/compare", 200, "There are not two versions to compare"),
        ("/dashboard/compare?before=none&model_version=squares", 200, "not two versions"),
        ("/dashboard/versions/none", 404, "There is no page at this address"),
        ("/dashboard/retrain?job=99", 200, "There is no job 99"),
        ("/dashboard/versions/squares", 200, "squares"),
        ("/dashboard/versions/1", 200, "ssd_small for red, blue"),
    ],
)
def test_page_leads_on_from_what_is_missing(
    serving: TestClient, path: str, status: int, text: str
) -> None:
    page = serving.get(path)

    assert page.status_code == status
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert text in page.text
    assert 'href="/dashboard/versions"' in page.text
