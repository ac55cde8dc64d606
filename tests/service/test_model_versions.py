import time
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from models.detectors import build
from models.detectors.checkpoint import save_checkpoint
from service.settings import Settings
from tests.scenes import scene_bytes
from tests.service.conftest import AddVersion


def test_uploaded_checkpoint_becomes_a_version(client: TestClient, checkpoint: Path) -> None:
    with checkpoint.open("rb") as file:
        response = client.post("/model-versions", files={"checkpoint": file})

    assert response.status_code == 201
    version = response.json()
    assert (version["name"], version["architecture"]) == ("v1", "ssd_small")
    assert version["class_names"] == ["red", "blue"]
    assert not version["is_serving"]
    assert version.pop("job") is None
    assert client.get("/model-versions").json() == [version]
    assert client.get(response.headers["Location"]).json()["name"] == "v1"


def test_same_checkpoint_is_the_same_version(client: TestClient, checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    first = client.post("/model-versions", files={"checkpoint": content})

    again = client.post("/model-versions", files={"checkpoint": content}, data={"name": "again"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_version_can_be_built_from_an_architecture(client: TestClient) -> None:
    response = client.post(
        "/model-versions", data={"architecture": "ssd_small", "class_names": ["cat", "dog"]}
    )

    assert response.status_code == 201
    assert response.json()["class_names"] == ["cat", "dog"]


def test_checkpoint_is_downloaded_unchanged(
    client: TestClient, add_version: AddVersion, checkpoint: Path
) -> None:
    add_version(checkpoint, "squares")

    response = client.get("/model-versions/squares/checkpoint")

    assert response.content == checkpoint.read_bytes()


def test_activated_version_scores_the_pool(
    client: TestClient, add_version: AddVersion, checkpoint: Path, other_checkpoint: Path
) -> None:
    add_version(checkpoint, "first")
    add_version(other_checkpoint, "second")
    for k in range(5):
        client.post("/images", files={"files": scene_bytes(k)}).raise_for_status()

    client.post("/model-versions/first/activate").raise_for_status()
    wait_until_scored(client, "first", 5)
    by_first = client.get("/hard-negatives").json()
    client.post("/model-versions/second/activate").raise_for_status()
    wait_until_scored(client, "second", 5)
    by_second = client.get("/hard-negatives").json()
    rolled_back = client.post("/model-versions/first/activate").json()

    assert (by_first["model_version"], by_second["model_version"]) == ("first", "second")
    assert [i["max_score"] for i in by_first["items"]] != [
        i["max_score"] for i in by_second["items"]
    ]
    assert (rolled_back["is_serving"], rolled_back["scored_images"]) == (True, 5)
    assert client.get("/hard-negatives").json() == by_first
    assert client.get("/readyz").json()["model_version"] == "first"


@pytest.mark.parametrize(
    ("form", "status", "slug"),
    [
        ({}, 422, "invalid-model-request"),
        ({"architecture": "yolo"}, 422, "invalid-model-request"),
        ({"architecture": "ssd_small"}, 422, "invalid-model-request"),
        ({"architecture": "ssd_small", "weights": "x", "class_names": "a"}, 422, None),
        ({"architecture": "ssd_small", "class_names": "a", "name": "1"}, 422, "invalid-request"),
    ],
)
def test_invalid_request_for_a_version_is_refused(
    client: TestClient, form: dict[str, str], status: int, slug: str | None
) -> None:
    response = client.post("/model-versions", data=form)

    assert response.status_code == status
    assert slug is None or response.json()["type"] == f"/problems/{slug}"


def test_damaged_checkpoint_is_refused(client: TestClient, checkpoint: Path) -> None:
    content = checkpoint.read_bytes()[:-100]

    response = client.post("/model-versions", files={"checkpoint": content})

    assert response.status_code == 422
    assert response.json()["type"] == "/problems/invalid-checkpoint"
    assert client.get("/model-versions").json() == []


@pytest.mark.parametrize("name", ["\ud800", "a\x00b", "tab\t"])
def test_unprintable_class_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        build("ssd_small", [name])


def test_checkpoint_with_non_finite_scores_is_refused(client: TestClient, tmp_path: Path) -> None:
    detector = build("ssd_small", ["red"])
    for parameter in detector.network.parameters():
        parameter.data = 3e38 * torch.sign(torch.randn(parameter.shape))
    path = tmp_path / "overflowing.safetensors"
    save_checkpoint(detector, path)

    with path.open("rb") as file:
        response = client.post("/model-versions", files={"checkpoint": file})

    assert response.status_code == 422
    assert response.json()["type"] == "/problems/invalid-checkpoint"
    assert "not finite" in response.json()["detail"]
    assert client.get("/model-versions").json() == []


def test_name_with_control_characters_is_refused(client: TestClient) -> None:
    assert client.get("/model-versions/%00").status_code == 422


def test_name_of_another_version_is_refused(
    client: TestClient, add_version: AddVersion, checkpoint: Path, other_checkpoint: Path
) -> None:
    add_version(checkpoint, "squares")

    with other_checkpoint.open("rb") as file:
        response = client.post(
            "/model-versions", files={"checkpoint": file}, data={"name": "squares"}
        )

    assert response.status_code == 409


@pytest.mark.parametrize("path", ["", "/activate", "/checkpoint"])
def test_unknown_version_is_not_found(client: TestClient, path: str) -> None:
    method = "POST" if path == "/activate" else "GET"

    response = client.request(method, f"/model-versions/v9{path}")

    assert (response.status_code, response.json()["type"]) == (
        404,
        "/problems/unknown-model-version",
    )


def test_old_version_still_serves_if_the_new_checkpoint_is_missing(
    serving: TestClient, add_version: AddVersion, other_checkpoint: Path, settings: Settings
) -> None:
    add_version(other_checkpoint, "lost")
    stored = {path: path.stat().st_mtime_ns for path in settings.data_dir.rglob("*.safetensors")}
    max(stored, key=lambda path: stored[path]).unlink()

    response = serving.post("/model-versions/lost/activate")

    assert response.status_code == 409
    assert response.json()["type"] == "/problems/version-not-loadable"
    assert serving.get("/readyz").json()["model_version"] == "squares"


def wait_until_scored(client: TestClient, version: str, count: int, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while client.get(f"/model-versions/{version}").json()["scored_images"] < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
