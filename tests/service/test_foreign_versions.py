import io
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from models.detectors.foreign.file import load_foreign
from models.detectors.foreign.spec import Layout
from models.inference.predict import predict, prepare
from tests.databases import on_sqlite_only
from tests.models.detectors.foreign.networks import CLASS_NAMES, HEIGHT, WIDTH, export
from tests.models.detectors.foreign.test_layouts import expected, image
from tests.service.test_errors import assert_problem

FIELDS = {"layout": "yolo", "class_names": list(CLASS_NAMES), "name": "theirs"}


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    export(Layout.YOLO, path, dynamic=True)
    return path.read_bytes()


def png(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image(seed).permute(1, 2, 0).numpy()).save(out, "PNG")
    return out.getvalue()


def add(client: TestClient, content: bytes, **fields: object) -> dict[str, object]:
    response = client.post(
        "/model-versions", files={"checkpoint": content}, data={**FIELDS, **fields}
    )
    assert response.status_code in (200, 201), response.text
    added: dict[str, object] = response.json()
    return added


def test_onnx_file_scores_and_ranks_like_any_version(client: TestClient, onnx_file: bytes) -> None:
    added = add(client, onnx_file)
    client.post("/model-versions/theirs/activate").raise_for_status()

    files = [("files", (f"{seed}.png", png(seed))) for seed in range(12)]
    client.post("/images", files=files).raise_for_status()
    ranked = client.get("/hard-negatives", params={"n": 12}).json()["items"]

    assert (added["architecture"], added["class_names"]) == ("onnx:yolo", list(CLASS_NAMES))
    truth = {f"{seed}.png": expected(Layout.YOLO, image(seed))[0] for seed in range(12)}
    assert [item["image"]["file_name"] for item in ranked] == sorted(truth, key=lambda n: -truth[n])
    for item in ranked:
        assert item["log_odds"] == pytest.approx(truth[item["image"]["file_name"]], abs=1e-5)
        assert {found["label"] for found in item["detections"]} <= set(CLASS_NAMES)


@on_sqlite_only
def test_downloaded_file_alone_rebuilds_the_version(
    client: TestClient, onnx_file: bytes, tmp_path: Path
) -> None:
    added = add(client, onnx_file)
    answer = client.get("/model-versions/theirs/checkpoint")
    (tmp_path / "version.onnx").write_bytes(answer.content)

    detector = load_foreign(tmp_path / "version.onnx")
    (found,) = predict(detector, [prepare(detector, png(3))])
    again = client.post("/model-versions", files={"checkpoint": answer.content})

    assert answer.headers["content-disposition"].endswith('"theirs.onnx"')
    assert found.log_odds == pytest.approx(expected(Layout.YOLO, image(3))[0], abs=1e-5)
    assert (again.status_code, again.json()["id"]) == (200, added["id"])


@on_sqlite_only
def test_same_file_with_another_threshold_is_another_version(
    client: TestClient, onnx_file: bytes
) -> None:
    first = add(client, onnx_file)

    other = add(client, onnx_file, name="stricter", score_threshold=0.5)

    assert other["id"] != first["id"]
    assert other["spec"]["score_threshold"] == 0.5  # type: ignore[index]  # JSON


@on_sqlite_only
def test_refusal_says_what_to_do(client: TestClient, onnx_file: bytes) -> None:
    fields = {"layout": "yolo", "class_names": ["one", "two"]}

    response = client.post("/model-versions", files={"checkpoint": onnx_file}, data=fields)

    assert_problem(response, 422, "layout-mismatch")
    assert "with 2 classes" in response.json()["detail"]


@on_sqlite_only
def test_truncated_file_is_refused(client: TestClient, onnx_file: bytes) -> None:
    response = client.post("/model-versions", files={"checkpoint": onnx_file[:1000]}, data=FIELDS)

    assert_problem(response, 422, "not-a-detector")


@on_sqlite_only
def test_inspection_stores_nothing(client: TestClient, onnx_file: bytes) -> None:
    fields = {"layout": "yolo", "class_names": list(CLASS_NAMES)}

    answer = client.post("/model-versions/inspect", files={"file": onnx_file}, data=fields)

    assert answer.status_code == 200
    assert answer.json()["outputs"] == {"output0": [1, 7, 240]}
    assert answer.json()["inputs"] == {"images": [None, 3, HEIGHT, WIDTH]}
    assert answer.json()["spec"]["layout"] == "yolo"
    assert client.get("/model-versions").json() == []


@on_sqlite_only
def test_version_trained_elsewhere_is_not_trained_here(
    client: TestClient, onnx_file: bytes
) -> None:
    add(client, onnx_file)
    client.post("/model-versions/theirs/activate").raise_for_status()
    _label(client)

    assert_problem(client.post("/retrain", json={}), 409, "not-trainable")


@on_sqlite_only
def test_preset_on_a_checkpoint_of_this_service_is_refused(
    client: TestClient, checkpoint: Path
) -> None:
    with checkpoint.open("rb") as file:
        response = client.post(
            "/model-versions", files={"checkpoint": file}, data={"preset": "yolox"}
        )

    assert_problem(response, 422, "invalid-model-request")


def _label(client: TestClient) -> None:
    annotations = (
        b'{"images": [{"id": 1, "file_name": "a.png", "width": 128, "height": 96}],'
        b'"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20]}],'
        b'"categories": [{"id": 1, "name": "cat"}]}'
    )
    files = [("annotations", ("a.json", annotations)), ("files", ("a.png", png(99)))]
    client.post("/labelled-images", data={"split": "train"}, files=files).raise_for_status()
