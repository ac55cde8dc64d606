"""Simultaneous requests about one image, on a real database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

from fastapi.testclient import TestClient

from tests.service.pictures import picture
from tests.service.test_labelled_images import coco, upload

ROUNDS = 12


def at_once(*calls: Callable[[], int]) -> list[int]:
    """Start all calls together, and return their statuses in order."""
    start = Barrier(len(calls))

    def call(make: Callable[[], int]) -> int:
        start.wait()
        return make()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def label(client: TestClient, num_boxes: int) -> int:
    """Label the image with so many boxes, and return the item's status."""
    boxes = [(0, (float(place), 1.0, 9.0, 9.0)) for place in range(num_boxes)]
    response = upload(client, coco(["a.png"], boxes), {"a.png": picture(1)})
    response.raise_for_status()
    return int(response.json()["items"][0]["status"])


def judge(client: TestClient, image_id: int) -> int:
    return client.put(f"/images/{image_id}/verdict", json={"verdict": "negative"}).status_code


def delete(client: TestClient, image_id: int) -> int:
    return client.delete(f"/images/{image_id}").status_code


def test_simultaneous_labels_of_one_image_replace_each_other(client: TestClient) -> None:
    label(client, 4)

    for _ in range(ROUNDS):
        statuses = at_once(*[partial(label, client, num_boxes) for num_boxes in (3, 4, 5, 6)])

        assert statuses == [200] * 4
        (item,) = client.get("/labelled-images", params={"split": "train"}).json()["items"]
        assert len(item["boxes"]) in (3, 4, 5, 6)


def test_image_can_be_labelled_again_while_it_is_deleted(client: TestClient) -> None:
    for _ in range(ROUNDS):
        label(client, 4)
        (item,) = client.get("/labelled-images", params={"split": "train"}).json()["items"]

        *labelled, deleted = at_once(
            partial(label, client, 5),
            partial(label, client, 6),
            partial(delete, client, item["image"]["id"]),
        )

        assert set(labelled) <= {200, 201}
        assert deleted == 204


def test_verdict_and_two_deletes_of_one_image_at_once_all_answer(client: TestClient) -> None:
    for _ in range(ROUNDS):
        image = client.post("/images", files={"files": ("a.png", picture(2))}).json()

        judged, *deleted = at_once(
            partial(judge, client, image["id"]),
            partial(delete, client, image["id"]),
            partial(delete, client, image["id"]),
        )

        assert judged in (200, 404)
        assert sorted(deleted) == [204, 404]
