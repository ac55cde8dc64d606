"""Similar images, near-duplicates and the map of a grouping."""

import io
import json
import zipfile
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.scenes import ORANGE, RED, scene_bytes, striped_bytes
from tests.service.mining import send_images, send_labelled
from tests.service.test_families import group_images, send_striped


def send(client: TestClient, *contents: bytes) -> list[int]:
    files = [("files", (f"{number}.png", content)) for number, content in enumerate(contents)]
    items = client.post("/images", files=files).json()["items"]
    return [item["image"]["id"] for item in items]


def reencoded(content: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(content)).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture
def copies(serving: TestClient) -> list[int]:
    """Fill the pool with a scene, two copies of it, and one with stripes; return their ids."""
    first = scene_bytes(400, ORANGE)
    smaller = io.BytesIO()
    Image.open(io.BytesIO(first)).crop((2, 2, 158, 158)).save(smaller, "PNG")
    return send(serving, first, reencoded(first), smaller.getvalue(), striped_bytes(500, RED))


def listed(client: TestClient, **params: object) -> list[dict[str, Any]]:
    """Return a list that is read page by page."""
    query: dict[str, Any] = {"collapse": True, "n": 1, **params}
    found: list[dict[str, Any]] = []
    while True:
        page = client.get("/hard-negatives", params=query).json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def ids(items: list[dict[str, Any]]) -> list[int]:
    return [item["image"]["id"] for item in items]


def exported_ids(client: TestClient, **params: Any) -> list[int]:
    answer = client.get("/hard-negatives/export", params={"format": "csv", **params})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as exported:
        lines = exported.read("hardneg.jsonl").splitlines()
    return [json.loads(line)["image_id"] for line in lines]


def test_list_shows_the_hardest_of_near_duplicates_with_their_number(
    serving: TestClient, settings: Settings, copies: list[int]
) -> None:
    before = listed(serving)
    group_images(serving, settings)
    everything = ids(serving.get("/hard-negatives").json()["items"])
    worst = next(image_id for image_id in everything if image_id in copies[:3])

    collapsed = listed(serving)
    exported = exported_ids(serving, collapse=True), exported_ids(serving)
    serving.put(f"/images/{worst}/verdict", json={"verdict": "contains-object"})
    without_worst = listed(serving)

    assert ids(before) == everything
    assert set(ids(collapsed)) == {worst, copies[3]}
    assert exported == (ids(collapsed), everything)
    shown = {item["image"]["id"]: item["duplicates"] for item in collapsed}
    assert shown == {worst: {"count": 2, "link": f"/images/{worst}/duplicates"}, copies[3]: None}
    assert [item["rank"] for item in collapsed] == [1, 2]
    others = serving.get(f"/images/{worst}/duplicates").json()
    assert others["is_described"] is True
    assert {image["id"] for image in others["items"]} == set(copies[:3]) - {worst}
    (second,) = set(ids(without_worst)) - {copies[3]}
    assert second in copies[:3]
    assert [item["duplicates"] for item in without_worst if item["image"]["id"] == second] == [
        {"count": 1, "link": f"/images/{second}/duplicates"}
    ]
    by_verdict = listed(serving, verdict="contains-object")
    assert ids(by_verdict) == [worst]
    assert by_verdict[0]["duplicates"] is None


def test_frozen_list_takes_one_of_near_duplicates_if_asked(
    serving: TestClient, settings: Settings, copies: list[int]
) -> None:
    send_labelled(serving, "train", [1])
    group_images(serving, settings)

    chosen = {}
    for collapse in (True, False):
        request = {"num_negatives": 4, "selection": {"hold": "off", "collapse": collapse}}
        run = serving.post("/training-runs", json=request).json()
        chosen[collapse] = run["num_mined"]

    assert chosen == {True: 2, False: 4}


def test_similar_images_show_the_same_kind_of_thing_first(
    serving: TestClient, settings: Settings
) -> None:
    noise = send_images(serving, "pool", range(400, 404))
    striped = send_striped(serving, "pool", range(500, 503))
    (sealed,) = send_striped(serving, "negative-test", [600, 601])[:1]
    (labelled,) = send_labelled(serving, "train", [1])
    missing = serving.get(f"/images/{striped[0]}/similar")
    group_images(serving, settings)

    similar = serving.get(f"/images/{striped[0]}/similar", params={"n": 4}).json()
    to_sealed = serving.get(f"/images/{sealed}/similar", params={"n": 3}).json()

    assert missing.json()["type"] == "/problems/not-grouped"
    assert set(ids(similar["items"][:2])) == set(striped[1:])
    assert set(ids(similar["items"][2:])) <= set(noise)
    cosines = [item["cosine"] for item in similar["items"]]
    assert cosines == sorted(cosines, reverse=True)
    assert similar["num_compared"] == 6
    assert set(ids(to_sealed["items"])) == set(striped)
    undescribed = serving.get(f"/images/{labelled}/similar")
    assert (undescribed.status_code, undescribed.json()["type"]) == (
        409,
        "/problems/image-not-described",
    )
    assert serving.get("/images/999/similar").status_code == 404


def test_map_places_look_alikes_close_together(
    serving: TestClient, settings: Settings, copies: list[int]
) -> None:
    (sealed,) = send_striped(serving, "negative-test", [600, 601])[:1]
    missing = serving.get("/map")
    families = group_images(serving, settings)

    shown = serving.get("/map").json()

    assert missing.json()["type"] == "/problems/not-grouped"
    assert shown["num_points"] == len(shown["items"]) >= 6
    points = {item["image_id"]: item for item in reversed(shown["items"])}
    place = {image_id: complex(point["x"], point["y"]) for image_id, point in points.items()}
    assert abs(place[copies[0]] - place[copies[1]]) < abs(place[copies[0]] - place[copies[3]]) / 4
    assert points[sealed]["split"] == "negative-test"
    family = {item["id"]: item["number"] for item in families["items"]}
    assert family[points[copies[0]]["family_id"]] == points[copies[0]]["family_number"]
    scores = [item["score"] for item in shown["items"] if item["split"] == "pool"]
    assert scores == sorted(scores, reverse=True)
    assert serving.get("/map").json() == shown
    assert len(serving.get("/map", params={"limit": 2}).json()["items"]) == 2


@on_sqlite_only
def test_vectors_of_an_image_leave_with_it(
    serving: TestClient, settings: Settings, copies: list[int]
) -> None:
    group_images(serving, settings)

    serving.delete(f"/images/{copies[0]}").raise_for_status()

    left = serving.get(f"/images/{copies[1]}/duplicates").json()["items"]
    assert [image["id"] for image in left] == [copies[2]]
    assert len(listed(serving)) == 2
    assert copies[0] not in {item["image_id"] for item in serving.get("/map").json()["items"]}
