"""Versions are measured when they are added."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.elsewhere import SquareNetwork, export
from tests.service.mining import send_images, send_labelled, work


def add(client: TestClient, content: bytes, **fields: object) -> dict[str, Any]:
    data = {"layout": "yolo", "class_names": ["red"], **fields}
    response = client.post("/model-versions", files={"checkpoint": content}, data=data)
    assert response.status_code in (200, 201), response.text
    added: dict[str, Any] = response.json()
    return added


@pytest.fixture
def content(square_network: SquareNetwork, tmp_path: Path) -> bytes:
    return export(square_network, tmp_path / "squares.onnx")


@on_sqlite_only
def test_checkpoint_of_our_own_is_measured_when_it_is_added(
    client: TestClient, settings: Settings, checkpoint: Path
) -> None:
    send_labelled(client, "val", range(200, 204))
    with checkpoint.open("rb") as file:
        added = client.post("/model-versions", files={"checkpoint": file}).json()

    assert work(settings, lane="measuring")

    (point,) = client.get("/stats/iterations").json()["items"]
    assert point["model_version_id"] == added["id"]
    assert point["figures"]["num_val_images"] == 4
    assert point["figures"]["ap50_95"]["value"] > 0


@on_sqlite_only
def test_onnx_file_is_measured_and_doubted_if_its_colours_are_swapped(
    client: TestClient, settings: Settings, content: bytes
) -> None:
    send_labelled(client, "val", range(200, 212))
    send_images(client, "negative-test", range(300, 304))
    right = add(client, content, name="right")
    wrong = add(client, content, name="wrong", channel_order="bgr")

    while work(settings, lane="measuring"):
        pass

    shown = client.get("/model-versions/right").json()
    assert client.get(right["job"]["links"]["self"]).json()["status"] == "done"
    assert shown["figures"]["ap50_95"]["value"] > 0.2
    assert (shown["figures"]["num_val_images"], shown["figures"]["num_negative_images"]) == (12, 4)
    assert shown["evaluated_at"] is not None
    assert shown["preprocessing_warning"] is None
    warning = client.get("/model-versions/wrong").json()["preprocessing_warning"]
    assert warning["settings"] == ["channel_order=rgb"]
    assert warning["num_images"] == 12
    assert warning["ap50_95"] < 0.1 < warning["ap50_95_with_settings"]
    job = client.get(wrong["job"]["links"]["self"]).json()
    assert "channel_order=rgb suits val better" in [event["message"] for event in job["events"]]
    assert add(client, content, name="right")["job"] is None


def test_nothing_is_measured_without_objects_on_val(client: TestClient, content: bytes) -> None:
    send_images(client, "negative-test", range(300, 302))

    added = add(client, content)

    assert added["job"] is None
    assert client.get(f"/model-versions/{added['id']}").json()["figures"] is None
