"""A frozen list goes to another trainer, and its result comes back as the next version."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from models.detectors import build
from models.detectors.checkpoint import save_checkpoint
from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.elsewhere import (
    LABELLED_SEEDS,
    Example,
    SquareNetwork,
    export,
    labelled_examples,
    train,
)
from tests.scenes import ORANGE, Box, scene_bytes
from tests.service.conftest import AddVersion
from tests.service.mining import send_images, send_labelled, work
from tests.service.test_errors import assert_problem


@pytest.fixture
def theirs(client: TestClient, square_network: SquareNetwork, tmp_path: Path) -> TestClient:
    """Let an ONNX file serve that fires on orange squares, with images of each split."""
    content = export(square_network, tmp_path / "first.onnx")
    fields = {"layout": "yolo", "class_names": ["red"], "name": "first"}
    added = client.post("/model-versions", files={"checkpoint": content}, data=fields)
    assert added.status_code == 201, added.text
    client.post("/model-versions/first/activate").raise_for_status()
    send_labelled(client, "train", LABELLED_SEEDS)
    send_labelled(client, "val", range(200, 212))
    send_images(client, "negative-test", range(300, 312))
    send_images(client, "pool", range(400, 420))
    return client


def freeze(client: TestClient, **request: object) -> dict[str, Any]:
    response = client.post("/training-runs", json=request)
    assert response.status_code == 201, response.text
    run: dict[str, Any] = response.json()
    assert response.headers["Location"] == f"/training-runs/{run['id']}"
    return run


def images_of(client: TestClient, run: dict[str, Any], role: str) -> list[int]:
    lines = client.get(f"/training-runs/{run['id']}/images").json()["items"]
    return [line["image_id"] for line in lines if line["role"] == role]


def examples_of(client: TestClient, run: dict[str, Any]) -> list[Example]:
    """Fetch a run's images; their trainer knows its own labels, and the others have none."""
    boxes: dict[bytes, Box | None] = dict(labelled_examples(LABELLED_SEEDS))
    lines = client.get(f"/training-runs/{run['id']}/images").json()["items"]
    contents = [client.get(f"/images/{line['image_id']}/content").content for line in lines]
    return [(content, boxes.get(content)) for content in contents]


def give_back(client: TestClient, run: dict[str, Any], content: bytes, **fields: object) -> Any:
    data = {"training_run_id": run["id"], **fields}
    return client.post("/model-versions", files={"checkpoint": content}, data=data)


def test_list_is_frozen_trained_elsewhere_given_back_and_judged(
    theirs: TestClient, settings: Settings, square_network: SquareNetwork, tmp_path: Path
) -> None:
    hardest = theirs.get("/hard-negatives", params={"n": 12}).json()["items"]
    run = freeze(theirs, num_negatives=12, ap_margin=1)
    assert (run["num_labelled"], run["num_kept"], run["num_mined"]) == (40, 0, 12)
    assert (run["job_id"], run["model_version_id"], run["decision"]) == (None, None, None)
    mined = images_of(theirs, run, "mined")
    assert set(mined) == {row["image"]["id"] for row in hardest}

    trained = train(examples_of(theirs, run), start=square_network)
    content = export(trained, tmp_path / "second.onnx")
    response = give_back(theirs, run, content, name="second")
    assert response.status_code == 201, response.text
    assert work(settings, lane="measuring")

    job = theirs.get(response.json()["job"]["links"]["self"]).json()
    assert (job["kind"], job["status"]) == ("measure", "done"), job["failure"]
    run = theirs.get(f"/training-runs/{run['id']}").json()
    second = theirs.get("/model-versions/second").json()
    assert (run["model_version_id"], run["job_id"]) == (second["id"], job["id"])
    assert run["decision"] == job["result"]["decision"] == "promoted", run["reason"]
    assert (second["parent_id"], second["is_serving"]) == (run["parent_version_id"], True)
    assert second["spec"]["layout"] == "yolo"  # as its parent: nobody said it again
    before, after = theirs.get("/stats/iterations").json()["items"]
    counts = [row["figures"]["false_detections"][1] for row in (before, after)]
    assert counts[0]["false_detections"]["value"] > counts[1]["false_detections"]["value"]
    assert after["figures"]["comparison"]["model_version_id"] == before["model_version_id"]
    trained = theirs.get("/hard-negatives", params={"n": 20, "trained": True}).json()
    assert trained["pool"] == {"images": 20, "scored": 20}
    assert {row["image"]["id"] for row in trained["items"]} == set(mined)
    following = freeze(theirs, num_negatives=4, start_from="second")
    assert images_of(theirs, following, "kept") == sorted(mined)
    assert not {*images_of(theirs, following, "mined")} & {*mined}


@pytest.fixture
def pooled(serving: TestClient) -> TestClient:
    """Serve a detector of red and blue squares, with a few images in its pool."""
    send_images(serving, "pool", range(400, 404))
    return serving


def untrained(path: Path, *class_names: str) -> bytes:
    """Return a checkpoint with random weights."""
    torch.manual_seed(0)
    save_checkpoint(build("ssd_small", class_names or ("red", "blue")), path)
    return path.read_bytes()


@on_sqlite_only
def test_result_sent_twice_is_one_version_with_one_job(
    pooled: TestClient, other_checkpoint: Path, tmp_path: Path
) -> None:
    run = freeze(pooled, num_negatives=2)
    sent = give_back(pooled, run, other_checkpoint.read_bytes()).json()

    again = give_back(pooled, run, other_checkpoint.read_bytes())
    refused = give_back(pooled, run, untrained(tmp_path / "third.safetensors"))

    assert (again.status_code, again.json()["id"]) == (200, sent["id"])
    assert again.json()["job"]["id"] == sent["job"]["id"]
    assert_problem(refused, 409, "run-has-version")
    assert len(pooled.get("/model-versions").json()) == 2


@on_sqlite_only
def test_result_of_a_cancelled_job_is_judged_when_it_is_sent_again(
    pooled: TestClient, settings: Settings, other_checkpoint: Path
) -> None:
    run = freeze(pooled, num_negatives=2, promotion="never")
    first_job = give_back(pooled, run, other_checkpoint.read_bytes()).json()["job"]
    pooled.post(first_job["links"]["cancel"]).raise_for_status()

    again = give_back(pooled, run, other_checkpoint.read_bytes()).json()
    work(settings, lane="measuring")

    assert again["job"]["id"] != first_job["id"]
    run = pooled.get(f"/training-runs/{run['id']}").json()
    assert (run["job_id"], run["decision"]) == (again["job"]["id"], "offered")


@on_sqlite_only
def test_file_that_was_added_without_its_run_can_be_given_back(
    pooled: TestClient, other_checkpoint: Path, add_version: AddVersion
) -> None:
    run = freeze(pooled, num_negatives=2)
    added_id = add_version(other_checkpoint, "forgotten")
    before = pooled.get("/model-versions/forgotten").json()

    given = give_back(pooled, run, other_checkpoint.read_bytes())

    assert (given.status_code, given.json()["id"]) == (200, added_id)
    assert (before["parent_id"], given.json()["parent_id"]) == (None, run["parent_version_id"])


@on_sqlite_only
def test_results_that_cannot_be_are_refused(
    pooled: TestClient, checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    run = freeze(pooled, num_negatives=2)

    unknown = give_back(pooled, {"id": 99}, other_checkpoint.read_bytes())
    renamed = give_back(pooled, run, untrained(tmp_path / "renamed", "red", "green"))
    parent = give_back(pooled, run, checkpoint.read_bytes())
    built = pooled.post(
        "/model-versions", data={"architecture": "ssd_small", "training_run_id": run["id"]}
    )

    assert_problem(unknown, 404, "unknown-training-run")
    assert_problem(renamed, 422, "class-names-differ")
    assert "'red', 'green'" in renamed.json()["detail"]
    assert "'red', 'blue'" in renamed.json()["detail"]
    assert_problem(parent, 409, "not-the-result")
    assert_problem(built, 422, "invalid-model-request")
    assert len(pooled.get("/model-versions").json()) == 1
    assert pooled.get(f"/training-runs/{run['id']}").json()["model_version_id"] is None


@on_sqlite_only
def test_run_that_trained_here_takes_no_result(
    serving: TestClient, settings: Settings, checkpoint: Path
) -> None:
    send_labelled(serving, "train", range(100, 104))
    send_images(serving, "pool", range(400, 404))
    quick = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "promotion": "never"}
    serving.post("/retrain", json=quick).raise_for_status()
    work(settings)

    assert_problem(give_back(serving, {"id": 1}, checkpoint.read_bytes()), 409, "run-has-version")


@on_sqlite_only
def test_list_needs_a_version_that_has_scored_the_pool(
    serving: TestClient, other_checkpoint: Path, add_version: AddVersion
) -> None:
    send_images(serving, "pool", range(400, 404))
    add_version(other_checkpoint, "other")

    unscored = serving.post("/training-runs", json={"start_from": "other", "num_negatives": 2})
    unknown = serving.post("/training-runs", json={"start_from": "nobody"})
    uncounted = serving.post("/training-runs")
    random = serving.post(
        "/training-runs", json={"start_from": "other", "num_negatives": 2, "strategy": "random"}
    )

    assert_problem(unscored, 409, "pool-not-scored")
    assert "0 of the pool's 4 images" in unscored.json()["detail"]
    assert_problem(unknown, 404, "unknown-model-version")
    assert_problem(uncounted, 422, "invalid-freeze-request")
    assert (random.status_code, random.json()["num_mined"]) == (201, 2)


def test_list_without_a_serving_version_or_new_negatives_is_refused(
    client: TestClient, add_version: AddVersion, checkpoint: Path
) -> None:
    nothing_serves = client.post("/training-runs", json={"num_negatives": 2})
    add_version(checkpoint, "squares")
    client.post("/model-versions/squares/activate").raise_for_status()

    empty_pool = client.post("/training-runs", json={"num_negatives": 2})

    assert_problem(nothing_serves, 409, "not-ready-to-train")
    assert_problem(empty_pool, 409, "not-ready-to-train")
    assert client.get("/training-runs").json()["items"] == []


@on_sqlite_only
def test_images_of_a_run_are_the_pools_own(serving: TestClient) -> None:
    ids = send_images(serving, "pool", range(400, 403))

    run = freeze(serving, num_negatives=3)

    assert sorted(images_of(serving, run, "mined")) == sorted(ids)
    assert {content for content, _ in examples_of(serving, run)} == {
        scene_bytes(seed, ORANGE) for seed in range(400, 403)
    }
