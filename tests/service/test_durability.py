"""Acknowledged uploads survive `kill -9` at any moment."""

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.scenes import scene_bytes
from tests.service.job_kinds import wait_until
from tests.service.servers import free_port, running_server

KILLS = 20


@pytest.mark.slow
def test_no_acknowledged_upload_is_lost_to_kill_9(
    database_url: str, tmp_path: Path, checkpoint: Path
) -> None:
    port = free_port()
    acknowledged: dict[int, str] = {}
    seeds = iter(range(10**9))

    for kill in range(KILLS):
        with running_server(database_url, tmp_path, port) as (server, client):
            if kill == 0:
                with checkpoint.open("rb") as file:
                    client.post("/model-versions", files={"checkpoint": file}).raise_for_status()
                client.post("/model-versions/v1/activate").raise_for_status()
            uploads = [Thread(target=_upload, args=(port, seeds, acknowledged)) for _ in range(3)]
            for upload in uploads:
                upload.start()
            _wait_for_another(acknowledged)
            time.sleep(0.02 * kill)  # at another moment of the work each time
            server.kill()
            for upload in uploads:
                upload.join()

    with running_server(database_url, tmp_path, port) as (_, client):
        found = {
            image_id: client.get(f"/images/{image_id}/content").content for image_id in acknowledged
        }
        assert len(acknowledged) >= KILLS
        assert {key: sha256(content).hexdigest() for key, content in found.items()} == acknowledged
        _wait_until_the_pool_is_scored(client)


def _upload(port: int, seeds: Iterator[int], acknowledged: dict[int, str]) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        while True:
            content = scene_bytes(next(seeds))
            headers = {"Prefer": "respond-async"} if len(acknowledged) % 2 else {}
            try:
                response = client.post("/images", files={"files": content}, headers=headers)
            except httpx.TransportError:
                return
            assert response.status_code in (201, 202), response.text
            acknowledged[response.json()["id"]] = sha256(content).hexdigest()


def _wait_for_another(acknowledged: dict[int, str]) -> None:
    num_before = len(acknowledged)
    wait_until(lambda: len(acknowledged) > num_before)


def _wait_until_the_pool_is_scored(client: httpx.Client) -> None:
    deadline = time.monotonic() + 120
    while True:
        pool = client.get("/hard-negatives").json()["pool"]
        if pool["scored"] == pool["images"]:
            return
        assert time.monotonic() < deadline, pool
        time.sleep(0.2)
