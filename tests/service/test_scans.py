"""Scans: ranges of images that any number of processes lease and score."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from service.blobs import BlobStore
from service.jobs import service as job_service
from service.metrics import Metrics
from service.scans import helping, planning, store
from service.scans.helping import ScanHelper
from service.scans.job import SCAN
from service.scans.planning import cut_into_ranges, range_size
from service.scans.store import IdRange, Scan
from service.scoring.resources import Resources
from service.serving import store as serving_store
from service.settings import Settings
from service.tables import Image, ImageScore, ScanRange
from service.worker.loop import Worker
from tests.databases import on_sqlite_only
from tests.scenes import ORANGE, scene_bytes
from tests.service.conftest import AddVersion
from tests.service.resources import resources_of

NUM_IMAGES = 24
RANGE = 5


@dataclass
class Stored:
    """Images that a version has not scored, in ranges of five."""

    client: TestClient
    resources: Resources
    version_id: int
    metrics: Metrics = field(default_factory=Metrics)  # of the process that helps

    def start_scan(self) -> int:
        answer = self.client.post("/scans", json={"model_version": "squares"})
        assert answer.status_code == 202
        return int(answer.json()["id"])

    def worker(self, stopping: Event | None = None) -> Worker:
        resources = self.resources
        return Worker(
            resources.engine,
            resources.blobs,
            resources.settings,
            [SCAN],
            stopping or Event(),
            beat_s=0.02,
        )

    def plan(self, scan: Scan) -> list[IdRange]:
        chunks = cut_into_ranges(self.resources.read_sessions, scan, ["pool"], RANGE)
        ranges = [ids for chunk in chunks for ids in chunk]
        with self.resources.sessions.begin() as session:
            store.add_ranges(session, scan, ranges)
        return ranges

    def help(self) -> bool:
        resources = self.resources
        helper = ScanHelper(
            resources.engine, resources.blobs, resources.settings, Event(), self.metrics
        )
        try:
            return helper.help_once()
        finally:
            helper.close()

    def num_scored(self) -> int:
        return self._count(ImageScore)

    def num_ranges(self, status: str | None = None) -> int:
        return self._count(ScanRange, status)

    def _count(self, table: type[ImageScore] | type[ScanRange], status: str | None = None) -> int:
        statement = select(func.count()).select_from(table)
        if status is not None:
            statement = statement.where(ScanRange.status == status)
        with self.resources.read_sessions.begin() as session:
            return session.scalars(statement).one()


@pytest.fixture
def stored(
    client: TestClient,
    checkpoint: Path,
    add_version: AddVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> Stored:
    monkeypatch.setattr(planning, "SMALLEST", RANGE)
    version_id = add_version(checkpoint, "squares")
    files = [("files", (f"{n}.png", scene_bytes(n, ORANGE))) for n in range(NUM_IMAGES)]
    client.post("/images", files=files).raise_for_status()
    return Stored(client, resources_of(client), version_id)


def test_scan_scores_every_image_with_a_version_that_does_not_serve(stored: Stored) -> None:
    job_id = stored.start_scan()

    stored.worker().work_once("scan")

    job = stored.client.get(f"/jobs/{job_id}").json()
    assert (job["status"], job["failure"]) == ("done", None)
    assert job["result"] == {"model_version_id": stored.version_id, "num_scored": NUM_IMAGES}
    assert job["progress"]["total"] == NUM_IMAGES
    assert stored.num_scored() == NUM_IMAGES
    assert stored.num_ranges() == 0


def test_holder_of_an_expired_range_can_no_longer_end_it(stored: Stored) -> None:
    scan = Scan(None, stored.version_id)
    first, *others = stored.plan(scan)
    sessions = stored.resources.sessions
    with sessions.begin() as session:
        stale = store.claim(session, scan, "stopped", lease_s=-1)
    with sessions.begin() as session:
        claimed = store.claim(session, scan, "other", lease_s=60)
    assert stale is not None
    assert claimed is not None
    assert (claimed.ids, claimed.attempt, claimed.num_failures) == (first, 2, 1)

    with sessions.begin() as session:
        assert store.still_held(session, {stale.id: stale.attempt}) == set()
        assert store.renew(session, {stale.id: 1, claimed.id: 2}, 60) == {claimed.id}
        assert not store.finish(session, scan.version_id, claimed)  # its images have no rows
        assert not store.count_failure(session, stale)
        session.add_all(
            ImageScore(
                image_id=image_id,
                model_version_id=scan.version_id,
                split="pool",
                failure="unreadable",
            )
            for image_id in range(first.after_id + 1, first.until_id + 1)
        )
    with sessions.begin() as session:
        assert not store.finish(session, scan.version_id, stale)
        assert store.finish(session, scan.version_id, claimed)
        claims = [store.claim(session, scan, "other", lease_s=60) for _ in others]
        assert [each and each.ids for each in claims] == others
        assert store.claim(session, scan, "other", lease_s=60) is None


@on_sqlite_only
def test_image_that_is_never_scored_fails_the_scan_by_its_range(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stored.resources.read_sessions.begin() as session:
        broken = session.get_one(Image, 7).blob_key
    read = BlobStore.get

    def get(blobs: BlobStore, key: str) -> bytes:
        if key == broken:
            raise OSError("disk error")
        return read(blobs, key)

    monkeypatch.setattr(BlobStore, "get", get)
    job_id = stored.start_scan()

    stored.worker().work_once("scan")

    job = stored.client.get(f"/jobs/{job_id}").json()
    assert job["status"] == "failed"
    assert "the images 6 to 10 of pool could not all be scored in 3 attempts" in job["failure"]
    assert stored.num_scored() == NUM_IMAGES - 1
    assert stored.num_ranges() == 0


@on_sqlite_only
@pytest.mark.parametrize("is_cancelled", [False, True], ids=["stopping", "cancelled"])
def test_stopped_scan_keeps_its_ranges_and_a_cancelled_one_does_not(
    stored: Stored, is_cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = Event()
    job_id = stored.start_scan()
    resources = stored.resources
    end = store.finish

    def finish(*arguments: object) -> bool:
        """End the first range, then cancel the job or stop the worker."""
        if is_cancelled:
            job_service.cancel(resources.sessions, resources.blobs, job_id)
            time.sleep(0.2)  # until the next beat of the job's lease
        else:
            stopping.set()
        return end(*arguments)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr(store, "finish", finish)
    monkeypatch.setattr("service.scans.feed.EXPECTED_WINDOWS", 0)
    stored.worker(stopping).work_once("scan")

    assert stored.num_ranges("running") == 0
    assert (stored.num_ranges() == 0) == is_cancelled
    monkeypatch.undo()
    stored.worker().work_once("scan")
    status = stored.client.get(f"/jobs/{job_id}").json()["status"]
    assert status == ("cancelled" if is_cancelled else "done")
    assert (stored.num_scored() == NUM_IMAGES) == (not is_cancelled)


@on_sqlite_only
def test_helper_scores_the_ranges_of_a_job_that_another_process_runs(
    stored: Stored, settings: Settings
) -> None:
    job_id = stored.start_scan()
    scan = Scan(job_id, stored.version_id)
    ranges = stored.plan(scan)
    with stored.resources.sessions.begin() as session:
        assert store.claim(session, scan, "dead", lease_s=-1) is not None

    assert stored.help()

    assert stored.num_scored() == NUM_IMAGES
    assert stored.num_ranges("done") == len(ranges)
    taken_over = stored.metrics.registry.get_sample_value(
        "hardneg_lease_expiries_total", {"of": "range"}
    )
    assert taken_over == 1
    assert not stored.help()


@on_sqlite_only
def test_helper_begins_at_the_newest_images_that_the_serving_version_lacks(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[IdRange] = []
    claim: Callable[..., store.ClaimedRange | None] = store.claim

    def spy(*arguments: object) -> store.ClaimedRange | None:
        found = claim(*arguments)
        claimed.extend([found.ids] if found else [])
        return found

    monkeypatch.setattr(store, "claim", spy)
    monkeypatch.setattr(helping, "FEWEST_HELPED", 1)
    monkeypatch.setattr(helping, "SETTLED_AFTER", timedelta(0))
    stored.client.app.state.backlog.close()  # type: ignore[attr-defined]
    with stored.resources.sessions.begin() as session:
        serving_store.add_activation(session, stored.version_id)

    assert stored.help()

    assert [ids.until_id for ids in claimed] == [24, 20, 15, 10, 5]
    assert stored.num_scored() == NUM_IMAGES


def test_large_scans_have_ranges_of_seconds_and_small_ones_enough_to_share() -> None:
    assert [range_size(num) for num in (10, 2_000, 20_000, 10**7)] == [64, 64, 312, 1024]
