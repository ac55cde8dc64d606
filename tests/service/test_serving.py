"""Requests that need a serving version, while none was activated."""

from fastapi.testclient import TestClient
from httpx2 import Response

from tests.scenes import scene_bytes
from tests.service.test_errors import assert_problem


def _answers(client: TestClient) -> list[Response]:
    return [
        client.post("/score", files={"file": ("a.png", scene_bytes(1))}),
        client.get("/hard-negatives"),
        client.get("/stats/false-detections"),
    ]


def test_requests_before_the_first_activation_are_conflicts(client: TestClient) -> None:
    for response in _answers(client):
        assert_problem(response, 409, "no-serving-version")
        assert "POST /model-versions" in response.json()["detail"]


def test_service_without_a_serving_version_is_not_ready(client: TestClient) -> None:
    response = client.get("/readyz")

    assert_problem(response, 503, "no-serving-version")
    assert "POST /model-versions" in response.json()["detail"]
