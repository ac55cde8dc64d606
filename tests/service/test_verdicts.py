"""A person's verdicts on images and on boxes in them."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from hardneg.schemas.images import MAX_JUDGED_BOXES
from tests.scenes import scene_bytes
from tests.service.mining import send_labelled

BOX = {"x1": 10.0, "y1": 12.5, "x2": 60.0, "y2": 70.0}
FALSE = {"box": BOX, "is_object": False, "label": None}
TRUE = {"box": {**BOX, "x1": 61.0, "x2": 90.0}, "is_object": True, "label": "fox"}


@pytest.fixture
def path(client: TestClient) -> str:
    """Return the path of an image of the pool."""
    image = client.post("/images", files={"files": ("a.png", scene_bytes(1))}).json()
    return f"/images/{image['id']}"


def judge(client: TestClient, path: str, verdict: str | None, *boxes: object) -> Any:
    body = {"verdict": verdict, "boxes": list(boxes)}
    return client.put(f"{path}/verdict", json=body)


def test_verdict_is_saved_and_withdrawn(client: TestClient, path: str) -> None:
    judged = client.put(f"{path}/verdict", json={"verdict": "contains-object"})
    withdrawn = client.put(f"{path}/verdict", json={"verdict": None})

    assert (judged.status_code, judged.json()["verdict"]) == (200, "contains-object")
    assert withdrawn.json()["verdict"] is None


@pytest.mark.parametrize(
    ("image_id", "body", "status"),
    [
        (999, {"verdict": "negative"}, 404),
        (1, {"verdict": "maybe"}, 422),
        (1, {}, 422),
        (1, {"verdict": "negative"}, 409),
    ],
)
def test_invalid_verdicts_are_refused(
    client: TestClient, image_id: int, body: dict[str, str], status: int
) -> None:
    send_labelled(client, "train", [1])

    assert client.put(f"/images/{image_id}/verdict", json=body).status_code == status


def test_verdict_that_another_person_gave_meanwhile_is_not_replaced(
    client: TestClient, path: str
) -> None:
    first = client.put(f"{path}/verdict", json={"verdict": "unsure", "expected": None})
    body = {"verdict": "negative", "boxes": [FALSE]}
    late = client.put(f"{path}/verdict", json={**body, "expected": None})
    kept = client.get(path).json()
    looked_again = client.put(f"{path}/verdict", json={**body, "expected": "unsure"})

    assert (first.status_code, late.status_code, looked_again.status_code) == (200, 409, 200)
    assert late.json()["type"] == "/problems/unexpected-verdict"
    assert (kept["verdict"], kept["judged_boxes"]) == ("unsure", [])


def test_boxes_are_judged_shown_and_replaced(client: TestClient, path: str) -> None:
    judged = judge(client, path, "contains-object", FALSE, TRUE)
    shown = client.get(path).json()
    replaced = judge(client, path, "negative", FALSE)

    assert judged.json()["judged_boxes"] == [FALSE, TRUE]
    assert shown["judged_boxes"] == [FALSE, TRUE]
    assert replaced.json()["judged_boxes"] == [FALSE]


def test_verdict_without_boxes_keeps_the_judged_ones(client: TestClient, path: str) -> None:
    judge(client, path, "contains-object", TRUE)

    kept = client.put(f"{path}/verdict", json={"verdict": "contains-object"})
    taken_back = judge(client, path, None)

    assert kept.json()["judged_boxes"] == [TRUE]
    assert (taken_back.json()["verdict"], taken_back.json()["judged_boxes"]) == (None, [])


def test_boxes_are_cut_to_the_image(client: TestClient, path: str) -> None:
    beyond = {**FALSE, "box": {"x1": -5, "y1": 100, "x2": 1e6, "y2": 200}}

    (box,) = judge(client, path, "negative", beyond).json()["judged_boxes"]

    assert box["box"] == {"x1": 0, "y1": 100, "x2": 160, "y2": 160}


@pytest.mark.parametrize("verdict", [None, "negative", "unsure"])
def test_object_in_an_image_without_one_is_a_contradiction(
    client: TestClient, path: str, verdict: str | None
) -> None:
    refused = judge(client, path, verdict, TRUE)
    judge(client, path, "contains-object", TRUE)
    later = client.put(f"{path}/verdict", json={"verdict": verdict})

    for answer in (refused, later):
        assert answer.status_code == 422
        assert answer.json()["type"] == "/problems/contradictory-verdict"
    assert client.get(path).json()["verdict"] == "contains-object"


@pytest.mark.parametrize(
    "box",
    [
        {**FALSE, "box": {**BOX, "x2": 10.0}},
        {**FALSE, "box": {"x1": 500, "y1": 500, "x2": 600, "y2": 600}},
        {**TRUE, "label": None},
    ],
    ids=["no area", "outside", "object without a label"],
)
def test_unusable_boxes_are_refused_by_position(
    client: TestClient, path: str, box: dict[str, object]
) -> None:
    judge(client, path, "negative", FALSE)

    refused = judge(client, path, "contains-object", FALSE, box)

    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/invalid-box"
    assert "boxes[1]" in refused.json()["detail"]
    shown = client.get(path).json()
    assert (shown["verdict"], shown["judged_boxes"]) == ("negative", [FALSE])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", '"wide"'])
def test_coordinates_that_are_no_numbers_are_refused(
    client: TestClient, path: str, number: str
) -> None:
    body = f'{{"verdict": null, "boxes": [{{"box": {{"x1": {number}, "y1": 1, "x2": 5, "y2": 9}},'
    body += ' "is_object": false}]}'

    refused = client.put(
        f"{path}/verdict", content=body, headers={"Content-Type": "application/json"}
    )

    assert refused.status_code in (400, 422)
    assert client.get(path).json()["judged_boxes"] == []


def test_number_of_judged_boxes_is_limited(client: TestClient, path: str) -> None:
    most = judge(client, path, None, *[FALSE] * MAX_JUDGED_BOXES)
    more = judge(client, path, None, *[FALSE] * (MAX_JUDGED_BOXES + 1))

    assert (most.status_code, more.status_code) == (200, 422)


def test_deleted_image_takes_its_judged_boxes_along(client: TestClient, path: str) -> None:
    judge(client, path, "contains-object", TRUE)

    client.delete(path)
    again = client.post("/images", files={"files": ("a.png", scene_bytes(1))}).json()

    assert again["judged_boxes"] == []
