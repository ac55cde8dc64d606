import io
import time
from copy import deepcopy
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from httpx2 import Response
from PIL import Image

from models.detectors import Detector
from service.app import create_app
from service.settings import Settings
from tests.scenes import ORANGE, RED, encoded, scene, scene_bytes
from tests.service.clients import local_client
from tests.service.resources import resources_of, serving_of


def upload(
    client: TestClient, *contents: bytes, headers: dict[str, str] | None = None, **form: str
) -> Response:
    files = [("files", (f"{k}.png", content)) for k, content in enumerate(contents)]
    return client.post("/images", files=files, data=form, headers=headers)


def test_upload_is_scored_before_the_answer(serving: TestClient) -> None:
    pixels, box = scene(1, RED)

    response = upload(serving, encoded(pixels), source="yard")

    assert response.status_code == 201
    image = response.json()
    assert response.headers["Location"] == image["links"]["self"]
    assert (image["split"], image["source"], image["width"]) == ("pool", "yard", 160)
    assert image["model_version"] == "squares"
    assert image["max_score"] > 0.5
    best = image["detections"][0]
    assert best["label"] == "red"
    assert best["score"] == pytest.approx(image["max_score"], abs=1e-6)
    assert list(best["box"].values()) == pytest.approx(box, abs=12)


def test_same_bytes_keep_their_id_and_score(serving: TestClient) -> None:
    content = scene_bytes(1, ORANGE)
    first = upload(serving, content)

    again = upload(serving, content)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_upload_of_several_files_answers_one_item_for_each_in_order(serving: TestClient) -> None:
    good, known = scene_bytes(1), scene_bytes(2)
    upload(serving, known)

    response = upload(serving, good, b"not an image", known, b"", good)

    assert response.status_code == 207
    items = response.json()["items"]
    assert [item["status"] for item in items] == [201, 415, 200, 422, 200]
    assert [item["file_name"] for item in items] == [f"{k}.png" for k in range(5)]
    assert items[0]["image"]["id"] == items[4]["image"]["id"]
    assert items[0]["image"]["max_score"] is not None
    assert items[1]["problem"]["type"] == "/problems/unsupported-image"
    assert items[3]["problem"]["type"] == "/problems/empty-file"


def test_asynchronous_upload_is_scored_after_the_answer(serving: TestClient) -> None:
    response = upload(serving, scene_bytes(1), headers={"Prefer": "respond-async"})

    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    assert response.json()["max_score"] is None
    assert wait_for_score(serving, response.json()["id"]) is not None


def test_images_are_stored_while_no_version_serves(client: TestClient) -> None:
    response = upload(client, scene_bytes(1))

    assert response.status_code == 201
    assert response.json()["model_version"] is None


def test_content_has_the_uploaded_bytes(client: TestClient) -> None:
    content = scene_bytes(1)
    image = upload(client, content).json()

    response = client.get(image["links"]["content"])

    assert response.content == content
    assert response.headers["Content-Type"] == "image/png"
    assert image["sha256"] == sha256(content).hexdigest()


def test_thumbnail_is_a_small_upright_jpeg(client: TestClient) -> None:
    tall_when_upright = encoded_with_orientation(np.zeros((100, 400, 3), np.uint8), 6)
    image = upload(client, tall_when_upright).json()

    response = client.get(image["links"]["thumbnail"], params={"max_side": 64})

    assert (image["width"], image["height"]) == (100, 400)
    with Image.open(io.BytesIO(response.content)) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (16, 64))


def test_delete_removes_bytes_scores_and_rank(serving: TestClient, settings: Settings) -> None:
    image = upload(serving, scene_bytes(1)).json()

    assert serving.delete(f"/images/{image['id']}").status_code == 204

    assert serving.get(f"/images/{image['id']}").status_code == 404
    assert serving.get(image["links"]["content"]).status_code == 404
    assert serving.delete(f"/images/{image['id']}").status_code == 404
    assert serving.get("/hard-negatives").json()["items"] == []
    assert [
        path for path in (settings.data_dir / "blobs/images").rglob("*") if path.is_file()
    ] == []


def test_deleted_image_can_be_uploaded_again_under_a_new_id(serving: TestClient) -> None:
    content = scene_bytes(1)
    first = upload(serving, content).json()
    serving.delete(f"/images/{first['id']}")

    again = upload(serving, content)

    assert again.status_code == 201
    assert again.json()["id"] > first["id"]
    assert again.json()["max_score"] == pytest.approx(first["max_score"], abs=1e-6)


def test_images_of_a_split_and_source_are_listed_in_pages(client: TestClient) -> None:
    ids = [upload(client, scene_bytes(k), source="yard").json()["id"] for k in range(3)]
    upload(client, scene_bytes(3), source="road")
    upload(client, scene_bytes(4), split="negative-test", source="yard")

    first = client.get("/images", params={"split": "pool", "source": "yard", "limit": 2}).json()
    rest = client.get(
        "/images", params={"split": "pool", "source": "yard", "after_id": first["next_after_id"]}
    ).json()

    assert [image["id"] for image in first["items"] + rest["items"]] == ids
    assert rest["next_after_id"] is None


def test_image_is_refused_in_a_second_split(client: TestClient) -> None:
    upload(client, scene_bytes(1), split="negative-test")

    response = upload(client, scene_bytes(1), split="pool")

    assert response.status_code == 409
    assert response.json()["type"] == "/problems/split-conflict"
    assert "'negative-test'" in response.json()["detail"]
    assert "'pool'" in response.json()["detail"]


def test_image_without_its_blob_is_not_found(client: TestClient, settings: Settings) -> None:
    image = upload(client, scene_bytes(1)).json()
    (blob,) = (path for path in settings.data_dir.rglob("blobs/images/*/*") if path.is_file())
    blob.unlink()

    assert client.get(image["links"]["content"]).status_code == 404
    assert client.get(image["links"]["thumbnail"]).status_code == 404


def test_image_is_scored_again_after_a_transient_failure(
    serving: TestClient,
) -> None:
    scorer = resources_of(serving).scorer
    working = serving_of(scorer)
    broken = replace(working, detector=deepcopy(working.detector))
    assert isinstance(broken.detector, Detector)
    broken.detector.network = torch.nn.Identity()  # fails as a device out of memory does
    scorer.swap(broken)
    failed = upload(serving, scene_bytes(1)).json()
    scorer.swap(working)

    again = upload(serving, scene_bytes(1)).json()

    assert "will be tried again" in failed["failure"]
    assert again["failure"] is None
    assert again["max_score"] is not None


def test_score_stores_nothing(serving: TestClient) -> None:
    response = serving.post("/score", files={"file": ("a.png", scene_bytes(1, RED))})

    assert response.status_code == 200
    assert response.json()["max_score"] > 0.5
    assert serving.get("/images").json()["items"] == []


def test_score_without_a_version_says_how_to_add_one(client: TestClient) -> None:
    response = client.post("/score", files={"file": ("a.png", scene_bytes(1))})

    assert response.status_code == 409
    assert response.json()["type"] == "/problems/no-serving-version"
    assert "POST /model-versions" in response.json()["detail"]


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"", 422, "empty-file"),
        (b"hello", 415, "unsupported-image"),
        (scene_bytes(1)[:2000], 422, "unreadable-image"),
    ],
)
def test_file_that_is_no_image_is_refused_with_the_reason(
    client: TestClient, content: bytes, status: int, slug: str
) -> None:
    response = upload(client, content)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == f"/problems/{slug}"
    assert client.get("/images").json()["items"] == []


def test_upload_without_files_is_refused(client: TestClient) -> None:
    response = client.post("/images", data={"source": "yard"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "body.files"


def encoded_with_orientation(pixels: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", exif=exif)
    return out.getvalue()


def wait_for_score(client: TestClient, image_id: int, timeout_s: float = 20) -> float | None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        image = client.get(f"/images/{image_id}").json()
        if image["model_version"] is not None:
            return float(image["max_score"])
        time.sleep(0.05)
    return None


def test_upload_of_too_many_files_is_answered_with_400(settings: Settings) -> None:
    settings = settings.model_copy(update={"max_files": 2})

    with local_client(create_app(settings)) as client:
        response = client.post("/images", files=[("files", ("a.png", b"x"))] * 3)

    assert response.status_code == 400
    assert "Maximum number of files is 2" in response.json()["detail"]
