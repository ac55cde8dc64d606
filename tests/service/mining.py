"""A pool, labelled images and sealed negatives for the service, and a worker for its jobs."""

import json
from collections.abc import Sequence
from threading import Event
from typing import Any

import httpx
from fastapi.testclient import TestClient

from service.blobs import BlobStore
from service.db import open_engine
from service.settings import Settings
from service.worker.kinds import KINDS
from service.worker.loop import Worker
from tests.scenes import ORANGE, RED, encoded, scene, scene_bytes

Http = TestClient | httpx.Client

QUICK = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 4, "learning_rate": 1e-3}


def send_images(client: Http, split: str, seeds: Sequence[int]) -> list[int]:
    """Send orange squares, which are no objects but look like one; return their ids in order."""
    files = [("files", (f"{seed}.png", scene_bytes(seed, ORANGE))) for seed in seeds]
    response = client.post("/images", files=files, data={"split": split})
    return [item["image"]["id"] for item in response.json()["items"]]


def send_labelled(
    client: Http,
    split: str,
    seeds: Sequence[int],
    *,
    label: str = "red",
    colour: tuple[int, int, int] = RED,
) -> list[int]:
    """Send squares with their boxes, and return their ids in order."""
    files, images, annotations = [], [], []
    for number, seed in enumerate(seeds):
        pixels, box = scene(seed, colour)
        assert box is not None
        name = f"{seed}.png"
        x1, y1, x2, y2 = box
        files.append(("files", (name, encoded(pixels))))
        images.append({"id": number, "file_name": name})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
        )
    coco = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": label}],
    }
    files.append(("annotations", ("coco.json", json.dumps(coco).encode())))
    response = client.post("/labelled-images", files=files, data={"split": split})
    return [item["image_id"] for item in response.json()["items"]]


def send_everything(client: Http) -> None:
    """Send a few images of each split."""
    send_labelled(client, "train", range(100, 108))
    send_labelled(client, "val", range(200, 204))
    send_images(client, "negative-test", range(300, 306))
    send_images(client, "pool", range(400, 410))


def work(settings: Settings, stopping: Event | None = None, *, lane: str = "training") -> bool:
    """Run a lane's next job, by default a retraining, to its end; return whether there was one."""
    engine = open_engine(settings.sqlalchemy_url)
    worker = Worker(
        engine,
        BlobStore(settings.blob_store_url),
        settings,
        KINDS,
        stopping or Event(),
        retry_after_s=0,
    )
    try:
        return worker.work_once(lane)
    finally:
        engine.dispose()


def retrain(client: TestClient, settings: Settings, **request: object) -> dict[str, Any]:
    """Request a quick retraining, run its job, and return the job."""
    response = client.post("/retrain", json={**QUICK, **request})
    assert response.status_code == 202, response.text
    assert work(settings)
    job: dict[str, Any] = client.get(response.headers["Location"]).json()
    return job
