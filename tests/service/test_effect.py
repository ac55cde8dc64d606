"""The effect of a training run on false detections on sealed images."""

from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from hardneg.schemas.effect import Change
from service.effects.comparing import compare
from service.effects.likeness import MinedLooks
from service.effects.store import DescribedBox
from service.settings import Settings
from service.tables import Detection
from tests.service.mining import send_images, send_labelled, work
from tests.service.test_families import group_images, send_striped


def detection(version_id: int, position: int, x: float, label: int = 1) -> Detection:
    return Detection(
        image_id=7,
        model_version_id=version_id,
        position=position,
        label=label,
        score=0.9 - position / 10,
        x1=x,
        y1=0,
        x2=x + 10,
        y2=10,
    )


def test_detection_stays_where_the_same_class_is_found_again() -> None:
    before = [detection(1, 0, 0), detection(1, 1, 50), detection(1, 2, 100)]
    after = [detection(2, 0, 2), detection(2, 1, 50, label=2), detection(2, 2, 108)]

    compared = compare({7: before}, {7: after, 8: []})

    found = sorted((item.detection.x1, item.detection.label, item.change) for item in compared)
    assert found == [
        (0, 1, Change.STAYED),
        (50, 1, Change.VANISHED),
        (50, 2, Change.NEW),
        (100, 1, Change.VANISHED),
        (108, 1, Change.NEW),
    ]
    scores = [item.detection.score for item in compared]
    assert scores == sorted(scores, reverse=True)


def test_nearest_mined_image_is_named_even_if_another_family_is_nearer() -> None:
    def box(image_id: int, axis: int, family: int | None) -> DescribedBox:
        vector = np.zeros(432, "<f2")
        vector[axis] = 1
        return DescribedBox(image_id, 0, vector.tobytes(), family)

    looks = MinedLooks([box(1, 0, 11), box(2, 1, 12)], mined=[2])

    (found,) = looks.likenesses([box(9, 0, None)], are_grouped=False).values()

    assert (found.family_id, found.mined_id, found.cosine) == (11, 2, 0.0)
    assert looks.count_mined() == {12: 1}
    (unmined,) = MinedLooks([], []).likenesses([box(9, 0, 3)], are_grouped=True).values()
    assert (unmined.family_id, unmined.mined_id) == (3, None)


def effect(client: TestClient, run_id: int, **params: Any) -> dict[str, Any]:
    response = client.get(f"/training-runs/{run_id}/effect", params={"threshold": 0.05, **params})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_effect_counts_what_changed_by_family_and_names_look_alikes(
    serving: TestClient, settings: Settings, other_checkpoint: Path
) -> None:
    send_labelled(serving, "train", [1])
    send_images(serving, "pool", range(400, 403))
    send_striped(serving, "pool", range(500, 503))
    sealed = send_striped(serving, "negative-test", range(600, 603))
    request = {"num_negatives": 6, "selection": {"hold": "off"}}
    run_id = serving.post("/training-runs", json=request).json()["id"]
    unfinished = serving.get(f"/training-runs/{run_id}/effect")
    serving.post(
        "/model-versions",
        files={"checkpoint": other_checkpoint.read_bytes()},
        data={"training_run_id": run_id, "name": "other"},
    ).raise_for_status()
    assert work(settings, lane="measuring")

    ungrouped = effect(serving, run_id)
    families = group_images(serving, settings, model_version="squares")
    grouped = effect(serving, run_id)

    assert unfinished.json()["type"] == "/problems/effect-unknown"
    assert (ungrouped["parent_version"], ungrouped["model_version"]) == ("squares", "other")
    assert ungrouped["num_sealed_images"] == len(sealed)
    assert ungrouped["missing_groupings"] == ["squares", "other"]
    assert {item["look_alike_mined"] for item in ungrouped["items"]} == {None}
    assert grouped["missing_groupings"] == ["other"]
    num_before = sum(found["num_sealed_false_detections"] for found in families["items"])
    for change in Change:
        assert sum(family[change] for family in grouped["families"]) == grouped[change]
        shown = effect(serving, run_id, change=change)["items"]
        assert {item["change"] for item in shown} <= {change}
        assert len(shown) == min(100, grouped[change])
    by_family = {
        family["family_id"]: family["vanished"] + family["stayed"] for family in grouped["families"]
    }
    assert sum(count for family_id, count in by_family.items() if family_id) == num_before > 0
    described = [item for item in grouped["items"] if item["is_described"] and item["before"]]
    assert all(item["look_alike_mined"]["cosine"] <= 1 for item in described)
    best = max(described, key=lambda item: item["before"]["score"])
    assert best["image"]["id"] in sealed
    assert best["look_alike_mined"]["image"]["split"] == "pool"
    nothing = effect(serving, run_id, threshold=1, threshold_after=1, limit=0)
    assert (nothing["vanished"], nothing["stayed"], nothing["items"]) == (0, 0, [])
