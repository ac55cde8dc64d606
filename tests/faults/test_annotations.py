"""Annotations that are long, or that are many, cost no more than they weigh."""

import json
import time
from collections.abc import Sequence

import pytest
from fastapi.testclient import TestClient

from tests.databases import on_sqlite_only
from tests.service.pictures import picture
from tests.service.test_labelled_images import coco, upload, upload_zip, zipped

EMPTY: Sequence[object] = ()


def annotations(**lists: Sequence[object]) -> bytes:
    content = {"images": EMPTY, "annotations": EMPTY, "categories": EMPTY, **lists}
    return json.dumps(content).encode()


@on_sqlite_only
def test_names_are_found_in_a_zip_in_linear_time(client: TestClient) -> None:
    names = [f"{number:05}/{'x' * 40}.png" for number in range(900)]
    images = [{"id": k, "file_name": f"y{k}/{'x' * 40}.png"} for k in range(10_000)]
    files = {name.replace("/", "__").replace(".", "_"): b"" for name in names}
    archive = zipped(labels_json=annotations(images=images), **files)
    started = time.process_time()

    response = upload_zip(client, archive)

    assert response.json()["num_problems"] == 10_000
    assert time.process_time() - started < 2


@on_sqlite_only
def test_categories_are_read_in_linear_time(client: TestClient) -> None:
    categories = [{"id": number, "name": str(number)} for number in range(10_000)]
    started = time.process_time()

    response = upload(client, annotations(categories=categories), {"a.png": picture(1)})

    assert len(response.json()["class_names"]) == 10_000
    assert time.process_time() - started < 1


@on_sqlite_only
def test_the_answer_lists_a_thousand_problems_and_counts_all(client: TestClient) -> None:
    empty = annotations(annotations=[{}] * 20_000, images=[{"id": 1, "file_name": "x" * 9_999}])

    result = upload(client, empty, {"a.png": picture(1)}).json()

    assert result["num_problems"] == 20_001
    assert len(result["problems"]) == 1_000
    assert max(len(problem["reason"]) for problem in result["problems"]) <= 500


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (annotations(categories=[0] * 10_001), "10001 categories"),
        (annotations(images=[0] * 200_001), "200001 images"),
        (b"[" * 2_000_001, "2000001 brackets"),
        (b" " * (32 * 1024**2 + 1), "bytes"),
    ],
)
@on_sqlite_only
def test_too_many_entries_are_413(client: TestClient, content: bytes, reason: str) -> None:
    response = upload(client, content, {"a.png": picture(1)})

    assert response.status_code == 413
    assert response.json()["type"] == "/problems/too-many-annotations"
    assert reason in response.json()["detail"]


@on_sqlite_only
def test_boxes_of_an_image_have_a_limit(client: TestClient) -> None:
    boxes = [(0, (1.0, 2.0, 3.0, 4.0))] * 10_001

    result = upload(client, coco(["a.png"], boxes), {"a.png": picture(1)}).json()

    assert result["items"][0]["num_boxes"] == 10_000
    assert "10000 boxes" in result["problems"][0]["reason"]
