"""The choice of new negatives by families of look-alikes."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from service.training_runs.look_alikes import by_families, num_to_group, take_turns
from tests.databases import on_sqlite_only
from tests.service.mining import retrain, send_images, send_labelled
from tests.service.test_families import family_of, group_images, send_striped


def mined(client: TestClient, run_id: int) -> set[int]:
    lines = client.get(f"/training-runs/{run_id}/images").json()["items"]
    return {line["image_id"] for line in lines if line["role"] == "mined"}


def freeze(client: TestClient, **request: object) -> set[int]:
    run = client.post("/training-runs", json={"selection": {"hold": "off"}, **request})
    assert run.status_code == 201, run.text
    return mined(client, run.json()["id"])


def test_families_take_turns_in_order_of_their_best() -> None:
    assert take_turns([7, 7, 7, 2, 7, 2, 5]) == [0, 3, 6, 1, 5, 2, 4]
    assert take_turns([]) == []


def test_images_without_a_family_come_last() -> None:
    images = [(1, "a"), (2, "b"), (3, "c"), (4, "d")]

    assert [i for i, _ in by_families(images, {2: 0, 3: 0, 4: 1})] == [2, 4, 3, 1]
    assert by_families(images, {}) == images


def test_families_are_grouped_from_more_images_than_are_mined() -> None:
    assert [num_to_group(n) for n in (1, 60, 100, 10**6)] == [200, 200, 330, 5000]


def test_frozen_list_takes_the_hardest_of_each_family(
    serving: TestClient, settings: Settings
) -> None:
    send_labelled(serving, "train", range(100, 104))
    send_images(serving, "pool", range(400, 404))
    send_striped(serving, "pool", range(500, 504))
    request: dict[str, Any] = {"num_negatives": 2, "strategy": "families"}
    missing = serving.post("/training-runs", json=request)
    families = group_images(serving, settings)

    chosen = freeze(serving, **request)
    three = freeze(serving, num_negatives=3, strategy="families")
    everything = freeze(serving, num_negatives=100, strategy="families")

    assert missing.json()["type"] == "/problems/families-missing"
    assert '"num_images": 200' in missing.json()["detail"]
    best = [family["members"][0]["image"]["id"] for family in families["items"]]
    assert chosen == set(best[:2])
    first, second = (
        member["image"]["id"] for member in family_of(serving, families, best[0])["members"][:2]
    )
    assert first == best[0]
    assert three == {*best[:2], second}
    assert len(everything) == 8


@pytest.mark.slow
@on_sqlite_only
def test_each_round_of_a_retraining_groups_and_takes_turns(
    serving: TestClient, settings: Settings
) -> None:
    send_labelled(serving, "train", range(100, 108))
    send_labelled(serving, "val", range(200, 204))
    send_images(serving, "pool", range(400, 406))
    send_striped(serving, "pool", range(500, 506))
    send_striped(serving, "negative-test", range(600, 603))

    job = retrain(
        serving, settings, num_negatives=2, strategy="families", iterations=2, promotion="never"
    )

    assert job["status"] == "done", job["failure"]
    runs = serving.get("/training-runs").json()["items"][::-1]
    families = serving.get("/families", params={"model_version": "squares"}).json()
    best = [family["members"][0]["image"]["id"] for family in families["items"]]
    assert mined(serving, runs[0]["id"]) == set(best[:2])
    assert any("round 1: 12 images form" in event["message"] for event in job["events"])
    if len(runs) == 2:
        assert not mined(serving, runs[1]["id"]) & mined(serving, runs[0]["id"])
        assert any("round 2: 10 images form" in event["message"] for event in job["events"])
