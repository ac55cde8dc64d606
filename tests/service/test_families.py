"""Families of look-alikes: squares on noise and squares on stripes, which look different."""

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.scenes import RED, striped_bytes
from tests.service.mining import send_images, work

Families = dict[str, Any]


def send_striped(client: TestClient, split: str, seeds: Sequence[int]) -> list[int]:
    """Send red squares on stripes, and return their ids in order."""
    files = [("files", (f"{seed}.png", striped_bytes(seed, RED))) for seed in seeds]
    items = client.post("/images", files=files, data={"split": split}).json()["items"]
    return [item["image"]["id"] for item in items]


@pytest.fixture
def squares(serving: TestClient) -> dict[str, list[int]]:
    """Fill the pool with squares on noise and on stripes, and seal some of the latter."""
    return {
        "noise": send_images(serving, "pool", range(400, 408)),
        "striped": send_striped(serving, "pool", range(500, 504)),
        "sealed": send_striped(serving, "negative-test", range(600, 603)),
    }


def group_images(client: TestClient, settings: Settings, **request: object) -> Families:
    """Group the serving version's images, and return its families."""
    response = client.post("/families", json=request)
    assert response.status_code == 202, response.text
    assert work(settings, lane="group")
    job = client.get(response.headers["Location"]).json()
    assert job["status"] == "done", job["failure"]
    families: Families = client.get("/families", params={"threshold": 0.05}).json()
    return families


def family_of(client: TestClient, families: Families, image_id: int) -> dict[str, Any]:
    for family in families["items"]:
        page = client.get(f"/families/{family['id']}").json()
        if image_id in {member["image"]["id"] for member in page["members"]}:
            found: dict[str, Any] = page
            return found
    raise AssertionError(f"image {image_id} is in no family")


def test_look_alikes_are_one_family_with_their_share_of_sealed_false_detections(
    serving: TestClient, settings: Settings, squares: dict[str, list[int]]
) -> None:
    families = group_images(serving, settings)

    striped = family_of(serving, families, squares["striped"][0])
    members = [member["image"]["id"] for member in striped["members"]]
    assert set(members) == set(squares["striped"])
    assert sum(family["size"] for family in families["items"]) == families["num_images"] == 12
    scores = [member["max_score"] for member in striped["members"]]
    assert scores == sorted(scores, reverse=True)
    best = [family["max_score"] for family in families["items"]]
    assert best == sorted(best, reverse=True)
    (shown,) = [family for family in families["items"] if family["id"] == striped["id"]]
    assert shown["num_sealed_false_detections"] >= 3
    assert shown["sealed_share"] == pytest.approx(
        shown["num_sealed_false_detections"] / families["num_sealed_false_detections"]
    )
    assert shown["trend"] == [
        {
            "model_version_id": 1,
            "model_version": "squares",
            "num_pool_images": len(members),
            "num_pool_errors": len(members),
            "num_sealed_images": 3,
            "num_sealed_errors": 3,
        }
    ]
    assert shown["members"][0]["detection"]["label"] == "red"
    query = {"threshold": 0.05, "limit": 1}
    first = serving.get("/families", params=query).json()
    query["after_number"] = first["next_after_number"]
    second = serving.get("/families", params=query).json()
    assert [first["items"][0], second["items"][0]] == families["items"][:2]
    assert families["next_after_number"] is None


def test_new_grouping_leaves_out_objects_and_makes_new_families(
    serving: TestClient, settings: Settings, squares: dict[str, list[int]]
) -> None:
    first = group_images(serving, settings)
    for image_id in squares["striped"]:
        serving.put(f"/images/{image_id}/verdict", json={"verdict": "contains-object"})
    judged = serving.get("/families").json()
    striped = family_of(serving, first, squares["striped"][0])

    second = group_images(serving, settings, num_images=5, num_mapped=0)
    serving.delete(f"/images/{squares['noise'][0]}").raise_for_status()

    verdicts = [family["verdicts"]["contains_object"] for family in judged["items"]]
    assert sum(verdicts) == len(squares["striped"])
    assert second["num_images"] == 5
    old = serving.get(f"/families/{striped['id']}")
    assert old.json()["type"] == "/problems/unknown-family"
    grouped = {
        member["image"]["id"]
        for family in second["items"]
        for member in serving.get(f"/families/{family['id']}").json()["members"]
    }
    assert not grouped & set(squares["striped"])


def test_requests_without_a_grouping_say_how_to_make_one(serving: TestClient) -> None:
    nothing = serving.post("/families")
    missing = serving.get("/families")

    assert nothing.json()["type"] == "/problems/nothing-to-group"
    assert missing.status_code == 404
    assert "POST /families" in missing.json()["detail"]
    assert serving.post("/families", json={"num_images": 0}).status_code == 422
    assert serving.get("/families", params={"threshold": "nan"}).status_code == 422
    assert serving.get(f"/families/{2**63 - 1}", params={"offset": 2**63 - 1}).status_code == 404
