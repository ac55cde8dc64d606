"""The thread that follows the serving version, where that cannot be loaded."""

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.app import create_app
from service.blobs import BlobStore
from service.db import open_sessions
from service.images.ingest import Ingest, Upload
from service.images.storing import Purpose
from service.locks import try_lock
from service.model_versions import store
from service.serving import store as serving_store
from service.settings import Settings
from tests.scenes import scene_bytes
from tests.service.clients import local_client
from tests.service.conftest import AddVersion


@pytest.fixture
def lost_version(client: TestClient, add_version: AddVersion, other_checkpoint: Path) -> int:
    """The id of a version whose checkpoint is gone."""
    assert isinstance(client.app, FastAPI)
    version_id = add_version(other_checkpoint, "lost")
    blobs: BlobStore = client.app.state.blobs
    with client.app.state.sessions.begin() as session:
        version = store.find_version(session, version_id)
    assert version is not None
    blobs.delete(version.checkpoint_key)
    return version_id


def _serve(engine: Engine, version_id: int) -> None:
    """As another process does."""
    with open_sessions(engine).begin() as session:
        serving_store.add_activation(session, version_id)


@pytest.fixture
def unable(lost_version: int, engine: Engine, settings: Settings) -> Iterator[TestClient]:
    """The service after a start that could not load what serves."""
    _serve(engine, lost_version)
    with local_client(create_app(settings)) as client:
        yield client


def test_uploads_do_not_cut_the_pause_after_a_failure_short(
    unable: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    unable.post("/images", files={"files": scene_bytes(1)}).raise_for_status()
    caplog.clear()

    time.sleep(1.0)

    assert sum("backlog failed" in line for line in caplog.messages) <= 1
    assert "'lost'" in unable.get("/readyz").json()["detail"]


def test_who_cannot_load_what_serves_leaves_the_sweep_to_others(
    client: TestClient,
    add_version: AddVersion,
    checkpoint: Path,
    lost_version: int,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _import(client, 200)
    add_version(checkpoint, "squares")
    client.post("/model-versions/squares/activate").raise_for_status()

    _wait_until(lambda: _num_scored(client) > 0)
    _serve(engine, lost_version)
    _wait_until(lambda: any("backlog failed" in line for line in caplog.messages))

    assert _num_scored(client) < 200
    time.sleep(0.5)
    with try_lock(engine, "sweep") as held:
        assert held


def _import(client: TestClient, num_images: int) -> None:
    """Stored for a sweep to find."""
    assert isinstance(client.app, FastAPI)
    state = client.app.state
    ingest = Ingest(
        state.group_commit,
        state.read_sessions,
        state.blobs,
        state.scorer,
        max_pixels=10**6,
        purpose=Purpose("pool", ""),
        scores_now=False,
    )
    files = [Upload(f"{n}.png", BytesIO(scene_bytes(n))) for n in range(num_images)]
    assert all(outcome.error is None for outcome in ingest.run(files))


def _num_scored(client: TestClient) -> int:
    return int(client.get("/model-versions/squares").json()["scored_images"])


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
