"""Images that hold an object and a false detection beside it, as negatives of a retraining."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from hardneg.schemas.training_runs import RetrainRequest, Strategy
from models.data.ground_truth import BACKGROUND, IGNORED
from service.tables import TrainingRun
from service.training_runs import store
from service.training_runs.freezing import choose_images
from service.training_runs.partial_negatives import frozen_boxes
from service.training_runs.training_inputs import training_sets
from tests.service.mining import send_images
from tests.service.resources import resources_of

REQUEST = RetrainRequest(num_negatives=2, strategy=Strategy.HARD)
CORNER = {"x1": 0, "y1": 0, "x2": 8, "y2": 8}

Item = dict[str, Any]


@pytest.fixture
def ranked(serving: TestClient) -> list[Item]:
    """Return the ranked list of a pool of four images, worst first."""
    send_images(serving, "pool", range(4))
    items: list[Item] = serving.get("/hard-negatives").json()["items"]
    assert all(len(item["detections"]) > 1 for item in items)
    return items


def judge_best_detection_false(serving: TestClient, item: Item) -> None:
    """Judge an image's best detection to be false, and a corner of it to hold an object."""
    boxes = [
        {"box": item["detections"][0]["box"], "is_object": False},
        {"box": CORNER, "is_object": True, "label": "3"},
    ]
    judge(serving, item, boxes)


def judge(serving: TestClient, item: Item, boxes: list[Item]) -> None:
    body = {"verdict": "contains-object", "boxes": boxes}
    serving.put(f"/images/{image_id(item)}/verdict", json=body).raise_for_status()


def image_id(item: Item) -> int:
    return int(item["image"]["id"])


def version_id(serving: TestClient) -> int:
    (version,) = serving.get("/model-versions").json()
    return int(version["id"])


def mined(serving: TestClient, *, takes_partial: bool) -> list[int]:
    parent_id = version_id(serving)
    with resources_of(serving).read_sessions.begin() as session:
        images = choose_images(session, REQUEST, 1, parent_id, takes_partial=takes_partial)
    return [chosen for chosen, _ in images["mined"]]


def freeze(session: Session, parent_id: int) -> TrainingRun:
    images = choose_images(session, REQUEST, 1, parent_id, takes_partial=True)
    run = TrainingRun(iteration=1, parent_version_id=parent_id, params={}, history=[])
    boxes = frozen_boxes(session, parent_id, [chosen for chosen, _ in images["mined"]])
    store.add_run(session, run, images, boxes)
    return run


def test_image_with_a_false_detection_beside_an_object_is_mined_first(
    serving: TestClient, ranked: list[Item]
) -> None:
    worst, second, third, easiest = ranked
    judge_best_detection_false(serving, easiest)
    judge(serving, worst, [])  # holds an object, and nothing else is known

    assert mined(serving, takes_partial=True) == [image_id(easiest), image_id(second)]
    assert mined(serving, takes_partial=False) == [image_id(second), image_id(third)]


def test_boxes_divide_into_background_and_ignored_ones(
    serving: TestClient, ranked: list[Item]
) -> None:
    worst, second, *_ = ranked
    judge_best_detection_false(serving, worst)

    with resources_of(serving).read_sessions.begin() as session:
        boxes = frozen_boxes(session, version_id(serving), [image_id(worst), image_id(second)])

    assert list(boxes) == [image_id(worst)]
    best, *others = [list(found["box"].values()) for found in worst["detections"]]
    ignored, background = boxes[image_id(worst)]
    assert (background or [])[0] == pytest.approx(best)
    judged_object, *unjudged = ignored or []
    assert judged_object == list(CORNER.values())
    assert unjudged
    assert all(any(box == pytest.approx(other) for other in others) for box in unjudged)


def test_training_reads_the_frozen_boxes_and_the_next_run_keeps_the_image(
    serving: TestClient, ranked: list[Item]
) -> None:
    judge_best_detection_false(serving, ranked[0])
    resources, parent_id = resources_of(serving), version_id(serving)
    with resources.sessions.begin() as session:
        run = freeze(session, parent_id)
        run_id = run.id
    with resources.read_sessions.begin() as session:
        kept = store.partial_negatives(session, parent_id, run_id, used=True)

    truths = [image.truth for image in training_sets(resources, run, ["3", "8"]).negatives]

    assert sorted(len(truth) > 0 for truth in truths) == [False, True]
    partial = max(truths, key=len)
    assert set(partial.labels.tolist()) == {IGNORED, BACKGROUND}
    best = list(ranked[0]["detections"][0]["box"].values())
    assert partial.boxes[partial.labels == BACKGROUND][0].tolist() == pytest.approx(best)
    assert [chosen for chosen, _ in kept] == [image_id(ranked[0])]


def test_image_is_left_out_once_the_false_box_is_taken_back(
    serving: TestClient, ranked: list[Item]
) -> None:
    judge_best_detection_false(serving, ranked[0])
    judge(serving, ranked[0], [])

    assert image_id(ranked[0]) not in mined(serving, takes_partial=True)
