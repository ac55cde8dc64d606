"""The backlog of a process that cannot load the serving version."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.app import create_app
from service.blobs import BlobStore
from service.db import open_sessions
from service.images.ingest import UploadedFile, ingest
from service.images.storing import Destination
from service.locks import try_lock
from service.metrics import Metrics
from service.model_versions import store
from service.scoring.scorer import Scorer
from service.serving import store as serving_store
from service.serving.errors import VersionNotLoaded
from service.serving.service import loaded_version
from service.settings import Settings
from tests.scenes import scene_bytes
from tests.service.clients import local_client
from tests.service.conftest import AddVersion
from tests.service.resources import resources_of
from tests.service.test_errors import assert_problem


@pytest.fixture
def lost_version(client: TestClient, add_version: AddVersion, other_checkpoint: Path) -> int:
    """Add a version whose checkpoint is gone, and return its id."""
    version_id = add_version(other_checkpoint, "lost")
    blobs: BlobStore = resources_of(client).blobs
    with resources_of(client).sessions.begin() as session:
        version = store.find_version(session, version_id)
    assert version is not None
    blobs.delete(version.checkpoint_key)
    return version_id


def _serve(engine: Engine, version_id: int) -> None:
    """Record an activation, like another process."""
    with open_sessions(engine).begin() as session:
        serving_store.add_activation(session, version_id)


@pytest.fixture
def unable(lost_version: int, engine: Engine, settings: Settings) -> Iterator[TestClient]:
    """Start a service that cannot load its serving version."""
    _serve(engine, lost_version)
    with local_client(create_app(settings)) as client:
        yield client


def test_uploads_do_not_shorten_the_pause_after_a_failure(
    unable: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    unable.post("/images", files={"files": scene_bytes(1)}).raise_for_status()
    caplog.clear()

    time.sleep(1.0)

    assert sum("backlog failed" in line for line in caplog.messages) <= 1
    assert "'lost'" in unable.get("/readyz").json()["detail"]


def test_requests_are_sent_away_while_the_serving_version_is_not_loaded(
    unable: TestClient,
) -> None:
    _wait_until(lambda: resources_of(unable).scorer.loading_failure is not None)

    score = unable.post("/score", files={"file": scene_bytes(1)})
    ready = unable.get("/readyz")

    for response in (score, ready):
        assert_problem(response, 503, "version-not-loaded")
        assert int(response.headers["Retry-After"]) > 0
        assert "'lost' could not be loaded (" in response.json()["detail"]


def test_requests_are_sent_away_until_the_first_attempt_to_load(
    unable: TestClient, settings: Settings
) -> None:
    scorer = Scorer(settings, Metrics())

    with pytest.raises(VersionNotLoaded, match="'lost' is being loaded: try again") as refused:
        loaded_version(replace(resources_of(unable), scorer=scorer))
    scorer.close()

    assert refused.value.status == 503


def test_process_without_the_serving_version_does_not_sweep(
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
    """Store images without a score, for a sweep to find."""
    files = [UploadedFile(f"{n}.png", BytesIO(scene_bytes(n))) for n in range(num_images)]
    ingested = ingest(resources_of(client), files, Destination("pool", ""))
    assert all(file.error is None for file in ingested)


def _num_scored(client: TestClient) -> int:
    return int(client.get("/model-versions/squares").json()["scored_images"])


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
