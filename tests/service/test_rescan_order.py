"""The order in which a version that begins to serve scores the images."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.images.ingest import UploadedFile, ingest
from service.images.storing import Destination
from service.scoring import store
from service.scoring.resources import Resources
from service.scoring.results import ScoringFailure
from service.serving import rescan_order
from service.serving import store as serving_store
from service.serving.rescan_order import images_by_id, images_in_order
from tests.scenes import scene_bytes
from tests.service.conftest import AddVersion
from tests.service.resources import resources_of

NUM_RANKED = 7


def page_ids(resources: Resources, version_id: int, page_size: int = 3) -> list[int]:
    pages = images_in_order(resources.read_sessions, version_id, page_size)
    return [image.id for page in pages for image in page]


def upload(client: TestClient, seeds: Sequence[int], split: str = "pool") -> list[int]:
    files = [("files", (f"{seed}.png", scene_bytes(seed))) for seed in seeds]
    items = client.post("/images", files=files, data={"split": split}).json()["items"]
    return [item["image"]["id"] for item in items]


def store_unscored(resources: Resources, seeds: Sequence[int]) -> list[int]:
    """Store images of the pool that no version scores."""
    files = [UploadedFile(f"{seed}.png", BytesIO(scene_bytes(seed))) for seed in seeds]
    stored = ingest(resources, files, Destination("pool", "", seal_fraction=0.0), None)
    return [file.image.id for file in stored if file.image is not None]


@pytest.fixture
def ranked(serving: TestClient) -> list[int]:
    """Return the ids of images of the pool, worst first by the serving version."""
    upload(serving, range(NUM_RANKED))
    items = serving.get("/hard-negatives", params={"n": 100}).json()["items"]
    return [item["image"]["id"] for item in items]


@pytest.fixture
def next_version(
    serving: TestClient, ranked: list[int], add_version: AddVersion, other_checkpoint: Path
) -> int:
    """Record that another version serves, without a process that rescans by it."""
    serving.app.state.backlog.close()  # type: ignore[attr-defined]
    version_id = add_version(other_checkpoint, "next")
    with resources_of(serving).sessions.begin() as session:
        serving_store.add_activation(session, version_id)
    return version_id


def test_images_come_worst_first_by_the_version_before(
    serving: TestClient, ranked: list[int], next_version: int
) -> None:
    assert len(ranked) == NUM_RANKED
    assert page_ids(resources_of(serving), next_version) == ranked


def test_images_without_a_rank_come_first_and_other_splits_last(
    serving: TestClient, ranked: list[int], next_version: int
) -> None:
    resources = resources_of(serving)
    sealed = upload(serving, [20, 23], split="negative-test")
    new = store_unscored(resources, [21, 22])
    failed, *still_ranked = ranked
    with resources.sessions.begin() as session:
        version = serving_store.version_before(session, next_version)
        assert version is not None
        store.save_scores(session, version, {failed: ScoringFailure("unreadable")})

    ids = page_ids(resources, next_version)

    assert ids == [*sorted([failed, *new]), *still_ranked, *sealed]


def test_order_of_id_holds_where_most_of_the_pool_is_scored(
    serving: TestClient, ranked: list[int]
) -> None:
    resources = resources_of(serving)
    new = store_unscored(resources, [21, 22])
    with resources.read_sessions.begin() as session:
        version = serving_store.serving_version(session)
        assert version is not None

    assert page_ids(resources, version.id) == new


def test_search_by_id_goes_through_ranges_without_an_image(
    serving: TestClient, ranked: list[int], next_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescan_order, "RANGE", 2)
    resources = resources_of(serving)
    new = store_unscored(resources, [21])

    pages = images_by_id(resources.read_sessions, next_version, 100, after_id=max(ranked))

    assert [image.id for page in pages for image in page] == new
