from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from service.app import create_app
from service.db import open_engine
from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.scenes import scene_bytes
from tests.service.clients import local_client
from tests.service.resources import resources_of

KEY = "a-key-of-some-length"


@pytest.fixture
def guarded(database_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """Yield a client of a service with a key and narrow limits."""
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        device="cpu",
        embedded_worker=False,
        api_key=KEY,
        max_body_bytes=200_000,
        max_files=3,
        max_pixels=159 * 160,
    )
    with local_client(create_app(settings)) as client:
        yield client


def assert_problem(response: Response, status: int, slug: str) -> None:
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]


@on_sqlite_only
def test_unknown_route_is_answered_with_a_problem(client: TestClient) -> None:
    assert_problem(client.get("/nowhere"), 404, "not-found")


@on_sqlite_only
def test_wrong_method_is_answered_with_a_problem(client: TestClient) -> None:
    assert_problem(client.put("/images"), 405, "method-not-allowed")


@on_sqlite_only
def test_malformed_body_is_answered_with_a_problem(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data"}

    assert_problem(client.post("/images", content=b"x", headers=headers), 400, "bad-request")


@on_sqlite_only
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer ä"}])
def test_missing_or_wrong_key_is_refused(guarded: TestClient, headers: dict[str, str]) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]

    assert_problem(guarded.get("/images", headers=encoded), 401, "not-authorised")


@on_sqlite_only
@pytest.mark.parametrize("headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}])
def test_request_with_the_key_is_answered(guarded: TestClient, headers: dict[str, str]) -> None:
    assert guarded.get("/images", headers=headers).status_code == 200


@on_sqlite_only
def test_key_is_checked_before_the_body_is_read(guarded: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data"}

    response = guarded.post("/images", content=b"x" * 300_000, headers=headers)

    assert_problem(response, 401, "not-authorised")


@on_sqlite_only
def test_health_check_needs_no_key(guarded: TestClient) -> None:
    assert guarded.get("/healthz").json() == {"status": "alive"}


@on_sqlite_only
def test_oversize_body_is_answered_with_a_problem(guarded: TestClient) -> None:
    response = guarded.post("/images", files={"files": b"x" * 300_000}, headers={"X-API-Key": KEY})

    assert_problem(response, 413, "request-entity-too-large")


@on_sqlite_only
def test_too_many_files_are_answered_with_a_problem(guarded: TestClient) -> None:
    files = [("files", (f"{k}.png", b"x")) for k in range(4)]

    response = guarded.post("/images", files=files, headers={"X-API-Key": KEY})

    assert_problem(response, 400, "bad-request")


@on_sqlite_only
def test_image_with_too_many_pixels_is_refused_by_its_header(guarded: TestClient) -> None:
    header_only = scene_bytes(1)[:100]

    response = guarded.post("/images", files={"files": header_only}, headers={"X-API-Key": KEY})

    assert_problem(response, 413, "too-many-pixels")


@on_sqlite_only
def test_request_keeps_its_valid_id_or_gets_a_new_one(client: TestClient) -> None:
    kept = client.get("/healthz", headers={"X-Request-ID": "abc-1"})
    made = client.get("/healthz", headers={"X-Request-ID": "x" * 200})

    assert kept.headers["X-Request-ID"] == "abc-1"
    assert len(made.headers["X-Request-ID"]) == 32


def test_readiness_gives_the_reason_for_a_refusal(client: TestClient) -> None:
    response = client.get("/readyz")

    assert_problem(response, 503, "no-serving-version")
    assert "POST /model-versions" in response.json()["detail"]


def test_readiness_reports_that_the_database_does_not_answer(client: TestClient) -> None:
    resources_of(client).read_sessions.configure(
        bind=open_engine("sqlite:////nowhere/at/all.sqlite3")
    )

    assert_problem(client.get("/readyz"), 503, "database-away")


@on_sqlite_only
def test_metrics_count_scored_images(serving: TestClient) -> None:
    serving.post("/images", files={"files": scene_bytes(1)})

    assert 'hardneg_scored_images_total{result="scored"} 1.0' in serving.get("/metrics").text
