from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from service.db import open_engine, open_sessions
from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.scenes import BLUE, ORANGE
from tests.service.job_kinds import start_worker, wait_until
from tests.service.mining import QUICK, retrain, send_everything, send_images, send_labelled, work
from tests.service.oracle import Oracle


def runs_of(client: TestClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the job's runs, first round first."""
    page = client.get("/training-runs", params={"job_id": job["id"]}).json()
    runs: list[dict[str, Any]] = page["items"][::-1]
    return runs


def images_of(client: TestClient, run: dict[str, Any], role: str) -> list[int]:
    lines = client.get(f"/training-runs/{run['id']}/images").json()["items"]
    return [line["image_id"] for line in lines if line["role"] == role]


def test_rounds_mine_train_measure_and_offer(serving: TestClient, settings: Settings) -> None:
    send_everything(serving)
    hardest = serving.get("/hard-negatives", params={"n": 10}).json()["items"]
    judged = hardest[0]["image"]["id"]
    serving.put(f"/images/{judged}/verdict", json={"verdict": "contains-object"})

    job = retrain(serving, settings, iterations=2, num_negatives=3, promotion="manual")

    assert job["status"] == "done", job["failure"]
    first, *others = runs_of(serving, job)
    assert set(images_of(serving, first, "mined")) == {row["image"]["id"] for row in hardest[1:4]}
    assert (first["num_labelled"], first["num_kept"], first["num_mined"]) == (8, 0, 3)
    assert [epoch["epoch"] for epoch in first["history"]] == [1, 2]
    assert (first["decision"], first["parent_version_id"]) == ("offered", 1)
    for run in others:  # only if the first round improved something
        assert images_of(serving, run, "kept") == sorted(images_of(serving, first, "mined"))
        assert run["parent_version_id"] == first["model_version_id"]
        used = {*images_of(serving, run, "kept"), *images_of(serving, run, "mined")}
        assert len(used) == 6
        assert judged not in used
    version = serving.get(f"/model-versions/{first['model_version_id']}").json()
    assert (version["parent_id"], version["is_serving"]) == (1, False)
    assert version["scored_images"] == version["pool_images"] == 10
    assert serving.get("/hard-negatives").json()["model_version"] == "squares"


def test_first_version_is_trained_from_an_architecture_and_serves(
    client: TestClient, settings: Settings
) -> None:
    send_everything(client)

    job = retrain(client, settings, architecture="ssd_small", name="first")

    assert job["status"] == "done", job["failure"]
    (run,) = runs_of(client, job)
    assert (run["decision"], run["reason"]) == ("promoted", "no version served before")
    assert (run["num_mined"], run["parent_version_id"]) == (0, None)
    wait_until(lambda: client.get("/readyz").status_code == 200)
    page = client.get("/hard-negatives").json()
    assert (page["model_version"], page["pool"]) == ("first", {"images": 10, "scored": 10})
    (row,) = client.get("/stats/iterations").json()["items"]
    assert row["figures"]["num_objects"] == 4
    assert row["figures"]["num_negative_images"] == 6
    assert row["is_serving"] is True


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random", "none"])
def test_baseline_strategies_take_random_negatives_or_none(
    serving: TestClient, settings: Settings, strategy: str
) -> None:
    send_everything(serving)

    job = retrain(serving, settings, strategy=strategy, num_negatives=4, promotion="never")

    (run,) = runs_of(serving, job)
    assert run["num_mined"] == (4 if strategy == "random" else 0)
    assert run["decision"] == "offered"


def test_stats_agree_with_plain_loops_over_stored_boxes(
    serving: TestClient, settings: Settings
) -> None:
    send_everything(serving)
    send_labelled(serving, "val", range(210, 216), label="blue", colour=BLUE)
    send_labelled(
        serving, "val", range(220, 224), label="blue", colour=ORANGE
    )  # which it does not detect
    retrain(serving, settings, num_negatives=3, promotion="never")
    versions = serving.get("/stats/iterations").json()["items"]
    engine = open_engine(settings.sqlalchemy_url)
    with open_sessions(engine).begin() as session:
        oracles = [Oracle(session, version["model_version_id"]) for version in versions]
    engine.dispose()

    assert [version["model_version"] for version in versions] == ["squares", "v2"]
    for version, oracle in zip(versions, oracles, strict=True):
        figures = version["figures"]
        assert 0 < oracle.ap50_95() < oracle.ap50() < 1
        assert figures["ap50_95"]["value"] == pytest.approx(oracle.ap50_95())
        assert figures["ap50"] == pytest.approx(oracle.ap50())
        assert figures["recall"]["value"] == pytest.approx(oracle.recall(0.5))
        for kept in figures["false_detections"]:
            found = oracle.false_detections(kept["threshold"])
            assert kept["false_detections"]["value"] == len(found)
        for threshold in (0.1, 0.3, 0.5, 0.9):
            _check_report(serving, version["model_version"], oracle, threshold)
    _check_comparison(versions[1]["figures"], *oracles)


def _check_comparison(figures: dict[str, Any], parent: Oracle, child: Oracle) -> None:
    compared = figures["comparison"]
    num_objects = figures["num_objects"]
    num_found = round(parent.recall(0.5) * num_objects)
    counts = range(num_found - 2, num_found + 3)
    recalls = [count / num_objects for count in counts if count > 0]
    recalls = [r for r in recalls if parent.threshold_at(r) and child.threshold_at(r)]
    assert parent.recall(0.5) in recalls, "else there is nothing to compare"
    assert (compared["lowest_recall"], compared["highest_recall"]) == (recalls[0], recalls[-1])
    assert compared["mean_fppi_before"]["value"] == pytest.approx(parent.fppi_around(recalls))
    assert compared["mean_fppi"]["value"] == pytest.approx(child.fppi_around(recalls))
    assert figures["operating_threshold"] == child.threshold_at(parent.recall(0.5))


def _check_report(client: TestClient, version: str, oracle: Oracle, threshold: float) -> None:
    params: dict[str, str | float] = {"model_version": version, "threshold": threshold}
    report = client.get("/stats/false-detections", params=params).json()
    found = oracle.false_detections(threshold)
    assert report["false_detections"]["value"] == len(found)
    assert report["fppi"]["value"] == pytest.approx(len(found) / 6)
    assert report["share_of_images"]["value"] == pytest.approx(
        len({item.image_id for item in found}) / 6
    )
    assert {item["label"]: item["fppi"]["value"] for item in report["by_class"]} == pytest.approx(
        {label: sum(item.label == label for item in found) / 6 for label in ("red", "blue")}
    )
    assert sum(item["num_images"] for item in report["histogram"]) == 6


@pytest.mark.slow
def test_stopped_training_resumes_and_ends_in_the_same_version(
    serving: TestClient, settings: Settings
) -> None:
    send_everything(serving)
    request = {"epochs": 4, "promotion": "never", "strategy": "none"}
    whole = retrain(serving, settings, **request)
    digest = _digest_of(serving, whole)
    response = serving.post("/retrain", json={**QUICK, **request, "seed": 0})
    path = response.headers["Location"]
    stopping = Event()
    thread = Thread(target=work, args=[settings, stopping])
    thread.start()
    wait_until(lambda: "epoch 1 of 4" in serving.get(path).text, timeout_s=60)

    stopping.set()
    thread.join()
    returned = serving.get(path).json()
    work(settings)

    assert (returned["status"], returned["num_failures"]) == ("todo", 0)
    job = serving.get(path).json()
    assert (job["status"], job["attempt"]) == ("done", 2)
    (run,) = runs_of(serving, job)
    assert [epoch["epoch"] for epoch in run["history"]] == [1, 2, 3, 4]
    assert _digest_of(serving, job) == digest


@pytest.mark.slow
def test_killed_training_is_resumed_by_another_worker(
    serving: TestClient, settings: Settings
) -> None:
    send_everything(serving)
    request = {"epochs": 6, "promotion": "never", "strategy": "none"}
    digest = _digest_of(serving, retrain(serving, settings, **request))
    path = serving.post("/retrain", json={**QUICK, **request}).headers["Location"]
    killed = start_worker(settings.database_url, settings.data_dir)
    wait_until(lambda: "epoch 2 of 6" in serving.get(path).text, timeout_s=120)

    killed.kill()
    killed.join()
    other = start_worker(settings.database_url, settings.data_dir)
    wait_until(lambda: serving.get(path).json()["status"] == "done", timeout_s=120)
    other.terminate()
    other.join()

    job = serving.get(path).json()
    assert (job["attempt"], job["num_failures"]) == (2, 0)  # a death after progress is forgiven
    logged = [
        event["message"].split(":")[0] for event in job["events"] if "epoch" in event["message"]
    ]
    assert len(set(logged)) == 6
    assert len(logged) <= 7  # repeats at most the epoch under way
    assert _digest_of(serving, job) == digest
    assert len(serving.get("/model-versions").json()) == 2
    assert [*(settings.data_dir / "blobs").glob("training/*/*")] == []


def test_job_that_is_stopped_in_its_second_round_resumes_there(
    serving: TestClient, settings: Settings
) -> None:
    send_labelled(serving, "train", range(100, 104))
    send_images(serving, "pool", range(400, 410))
    request = {**QUICK, "epochs": 3, "iterations": 2, "num_negatives": 2, "promotion": "never"}
    path = serving.post("/retrain", json=request).headers["Location"]
    stopping = Event()
    thread = Thread(target=work, args=[settings, stopping])
    thread.start()
    wait_until(lambda: "round 2, epoch 1" in serving.get(path).text, timeout_s=60)

    stopping.set()
    thread.join()
    work(settings)

    job = serving.get(path).json()
    assert (job["status"], job["attempt"]) == ("done", 2), job["failure"]
    first, second = runs_of(serving, job)
    assert (first["num_kept"], first["num_mined"]) == (0, 2)
    assert (second["num_kept"], second["num_mined"]) == (2, 2)
    assert second["parent_version_id"] == first["model_version_id"]
    assert len(job["result"]["rounds"]) == 2


def _digest_of(client: TestClient, job: dict[str, Any]) -> str:
    version_id = job["result"]["rounds"][-1]["model_version_id"]
    digest: str = client.get(f"/model-versions/{version_id}").json()["checkpoint_sha256"]
    return digest


def test_cancelled_training_leaves_no_version(serving: TestClient, settings: Settings) -> None:
    send_everything(serving)
    response = serving.post("/retrain", json={**QUICK, "epochs": 500})
    path = response.headers["Location"]
    thread = Thread(target=work, args=[settings])
    thread.start()
    wait_until(lambda: "epoch 1 of 500" in serving.get(path).text, timeout_s=60)

    serving.post(f"{path}/cancel")
    thread.join(20)

    assert serving.get(path).json()["status"] == "cancelled"
    assert len(serving.get("/model-versions").json()) == 1
    assert [*(settings.data_dir / "blobs").glob("training/*/*")] == []


@pytest.mark.slow
@on_sqlite_only
def test_non_finite_loss_fails_the_job_at_once(serving: TestClient, settings: Settings) -> None:
    send_everything(serving)

    job = retrain(serving, settings, learning_rate=10, warmup_steps=0, epochs=200, weight_decay=10)

    assert (job["status"], job["attempt"]) == ("failed", 1)
    assert "is not finite at step" in job["failure"]


def test_nothing_to_train_on_is_409(serving: TestClient) -> None:
    response = serving.post("/retrain")

    assert response.status_code == 409
    assert response.json()["type"] == "/problems/not-ready-to-train"


def test_nothing_to_start_from_is_409(client: TestClient) -> None:
    send_labelled(client, "train", [1])

    response = client.post("/retrain", json={})

    assert response.status_code == 409
    assert "architecture" in response.json()["detail"]


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        ({"start_from": "unknown"}, 404),
        ({"architecture": "unknown"}, 422),
        ({"architecture": "ssd_small", "start_from": "squares"}, 422),
        ({"weights": "imagenet"}, 422),
        ({"architecture": "ssd_small", "weights": "imagenet"}, 422),
        ({"architecture": "ssd_small", "weights": "COCO_V1"}, 422),
        ({"architecture": "fcos_resnet50_fpn", "weights": "unknown"}, 422),
        ({"architecture": "ssd_small", "input_size": [16, 160]}, 422),
        ({"architecture": "ssd_small", "input_size": [160, 4096]}, 422),
        ({"architecture": "ssd_small", "input_size": [160, 160]}, 202),
        ({"architecture": "fcos_resnet50_fpn", "weights": "ImageNet"}, 202),
        ({"epochs": 0}, 422),
        ({"learning_rate": "NaN"}, 422),
        ({"sampler": {"name": "unknown"}}, 422),
        ({"strategy": "hardest"}, 422),
        ({"augmentation": "mirrored"}, 422),
        ({"more": 1}, 422),
        ({"name": "squares"}, 409),
    ],
)
@on_sqlite_only
def test_impossible_requests_are_refused(
    serving: TestClient, request_body: dict[str, object], status: int
) -> None:
    send_labelled(serving, "train", [1])

    assert serving.post("/retrain", json=request_body).status_code == status


@pytest.mark.slow
@on_sqlite_only
def test_sampler_of_the_request_is_used(serving: TestClient, settings: Settings) -> None:
    send_everything(serving)

    sampler = {"name": "hard-negative", "batch_size_per_image": 32}
    job = retrain(serving, settings, sampler=sampler, promotion="never")

    assert job["status"] == "done", job["failure"]


@on_sqlite_only
def test_augmentation_of_the_request_is_used(serving: TestClient, settings: Settings) -> None:
    send_everything(serving)
    request = {"epochs": 1, "strategy": "none", "promotion": "never"}

    digests = {
        _digest_of(serving, retrain(serving, settings, augmentation=name, **request))
        for name in ("standard", "unmirrored", "none")
    }

    assert len(digests) == 3


@on_sqlite_only
def test_each_round_is_logged_for_tensorboard_if_the_settings_say_so(
    serving: TestClient, settings: Settings, tmp_path: Path
) -> None:
    send_everything(serving)
    logged = settings.model_copy(update={"tensorboard_dir": tmp_path / "logs"})

    job = retrain(serving, logged, promotion="never")

    (run,) = runs_of(serving, job)
    events = EventAccumulator(str(tmp_path / "logs" / f"job-{job['id']}-round-1")).Reload()
    assert [point.value for point in events.Scalars("val/ap50_95")] == [
        pytest.approx(epoch["ap50_95"]) for epoch in run["history"]
    ]
    assert [point.step for point in events.Scalars("learning_rate")] == [2, 4]


@pytest.mark.parametrize("path", ["/training-runs/9", "/training-runs/9/images"])
def test_unknown_run_is_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_report_needs_sealed_images_and_a_stored_threshold(serving: TestClient) -> None:
    nothing = serving.get("/stats/false-detections")
    send_images(serving, "negative-test", [1, 2])

    too_low = serving.get("/stats/false-detections", params={"threshold": 0.001})
    report = serving.get("/stats/false-detections").json()

    assert (nothing.status_code, too_low.status_code) == (409, 422)
    assert (report["num_images"], report["froc"]) == (2, [])
