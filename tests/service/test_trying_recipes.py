"""Retraining with `recipe: auto`: what it tries, what it chooses, and what it never mines."""

from hashlib import sha256
from itertools import count, islice
from threading import Event, Thread
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hardneg.schemas.recipes import RecipeFigures
from service.settings import Settings
from service.training_runs.kept_aside import MIN_IMAGES, is_kept_aside
from service.training_runs.recipes import best_of, worst_of
from tests.databases import on_sqlite_only
from tests.scenes import ORANGE, scene_bytes
from tests.service.job_kinds import wait_until
from tests.service.mining import QUICK, retrain, send_images, send_labelled, work

KEPT = list(
    islice(
        (n for n in count(1000) if is_kept_aside(sha256(scene_bytes(n, ORANGE)).hexdigest())),
        MIN_IMAGES,
    )
)
OTHERS = [
    n for n in range(2000, 2012) if not is_kept_aside(sha256(scene_bytes(n, ORANGE)).hexdigest())
]
# The request leaves out what is chosen: share and weight.
AUTO: dict[str, Any] = {**QUICK, "epochs": 3, "recipe": "auto", "promotion": "never"}


def send_all(client: TestClient) -> tuple[set[int], set[int]]:
    """Send images, and return the ids of the kept fifth and of the rest of the pool."""
    send_labelled(client, "train", range(100, 108))
    send_labelled(client, "val", range(200, 204))
    return set(send_images(client, "pool", KEPT)), set(send_images(client, "pool", OTHERS))


def last_run(client: TestClient) -> dict[str, Any]:
    run: dict[str, Any] = client.get("/training-runs").json()["items"][0]
    return run


def mined(client: TestClient, run: dict[str, Any]) -> set[int]:
    lines = client.get(f"/training-runs/{run['id']}/images").json()["items"]
    return {line["image_id"] for line in lines if line["role"] == "mined"}


@on_sqlite_only
def test_stopped_trial_goes_on_and_chooses_the_best_of_three_recipes(
    serving: TestClient, settings: Settings
) -> None:
    kept, others = send_all(serving)
    whole = retrain(serving, settings, **AUTO, num_negatives=4)
    expected = last_run(serving)
    path = serving.post("/retrain", json={**AUTO, "num_negatives": 4}).headers["Location"]
    stopping = Event()
    thread = Thread(target=work, args=[settings, stopping])
    thread.start()
    wait_until(lambda: "weight 5: " in serving.get(path).text, timeout_s=60)

    stopping.set()
    thread.join()
    returned = serving.get(path).json()
    work(settings)

    assert (whole["status"], returned["status"]) == ("done", "todo"), whole["failure"]
    job = serving.get(path).json()
    assert (job["status"], job["attempt"]) == ("done", 2), job["failure"]
    run = last_run(serving)
    assert mined(serving, run) <= others
    assert len(mined(serving, run)) == 4
    report = run["recipes"]
    assert set(report["image_ids"]) == kept
    assert [(r["negative_share"], r["negative_weight"]) for r in report["recipes"]] == [
        (0.3, 3),
        (0.25, 5),
        (0.4, 9),
    ]
    outcomes = [recipe["outcome"] for recipe in report["recipes"]]
    assert sorted(outcomes) == ["chosen", "dropped", "not chosen"]
    assert [r["finished"] is None for r in report["recipes"]] == [o == "dropped" for o in outcomes]
    assert report == expected["recipes"]
    assert [epoch["epoch"] for epoch in run["history"]] == [1, 2, 3]
    assert run["model_version_id"] == expected["model_version_id"]  # equal weights, one version
    assert [*(settings.data_dir / "blobs").glob("training/*/*")] == []


@on_sqlite_only
def test_kept_fifth_is_never_mined_once_recipes_were_tried(
    serving: TestClient, settings: Settings
) -> None:
    kept, others = send_all(serving)
    everything = {"num_negatives": len(kept) + len(others)}
    before = serving.post("/training-runs", json=everything).json()
    path = serving.post("/retrain", json={**AUTO, "epochs": 500}).headers["Location"]
    thread = Thread(target=work, args=[settings])
    thread.start()
    wait_until(lambda: "epoch 1 of 500" in serving.get(path).text, timeout_s=60)

    serving.post(f"{path}/cancel")
    thread.join(20)
    after = {
        strategy: mined(
            serving,
            serving.post("/training-runs", json={**everything, "strategy": strategy}).json(),
        )
        for strategy in ("hard", "random")
    }

    assert serving.get(path).json()["status"] == "cancelled"
    assert len(serving.get("/model-versions").json()) == 1
    assert [*(settings.data_dir / "blobs").glob("training/*/*")] == []
    assert mined(serving, before) == kept | others
    assert after == {"hard": others, "random": others}


@on_sqlite_only
def test_trial_that_cannot_compare_is_refused(serving: TestClient) -> None:
    send_labelled(serving, "train", range(100, 108))
    send_labelled(serving, "val", range(200, 204))
    send_images(serving, "pool", KEPT[1:])

    too_few = serving.post("/retrain", json=AUTO)
    chosen = serving.post("/retrain", json={**AUTO, "negative_share": 0.2})
    fresh = serving.post("/retrain", json={**AUTO, "architecture": "ssd_small"})

    assert (too_few.status_code, too_few.json()["type"]) == (409, "/problems/not-ready-to-train")
    assert f"and there are {MIN_IMAGES - 1}" in too_few.json()["detail"]
    assert (chosen.status_code, fresh.status_code) == (422, 422)


def figures(false: float | None, ap: float) -> RecipeFigures:
    return RecipeFigures(mean_false_detections=false, ap50_95=ap)


@pytest.mark.parametrize(
    ("found", "worst"),
    [
        ([figures(3, 0.5), figures(5, 0.6), figures(4, 0.4)], 1),
        ([figures(3, 0.5), figures(3, 0.4), figures(2, 0.3)], 1),  # of equals, the lower AP
        ([figures(30, 0.5), figures(5, 0.6), figures(None, 0.7)], 2),  # finds too few objects
    ],
)
def test_most_false_detections_are_worst(found: list[RecipeFigures], worst: int) -> None:
    assert worst_of(found) == worst


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ({0: figures(3, 0.50), 2: figures(2, 0.49)}, 2),
        ({0: figures(3, 0.50), 2: figures(2, 0.47)}, 0),  # loses too much AP
        ({0: figures(3, 0.40), 2: figures(4, 0.45)}, 2),  # both lose too much
    ],
)
def test_fewest_false_detections_at_nearly_the_same_ap_are_best(
    found: dict[int, RecipeFigures], best: int
) -> None:
    chosen, _ = best_of(found, parent=figures(9, 0.5))

    assert chosen == best
