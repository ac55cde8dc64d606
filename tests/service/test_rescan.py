"""Rescans: every stored image gets its score, and failures stay with their image."""

import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from torch import Tensor

from models.detectors import Detector, PreparedImage
from models.detectors.checkpoint import load_checkpoint
from models.inference.predict import Prediction, predict, prepare
from service.metrics import Metrics
from service.scoring import store
from service.scoring.decoders import DecodeThreads
from service.scoring.engine import ONLINE, RESCAN, LoadedVersion
from service.scoring.rescan import RescanSummary, score_stored
from service.scoring.rescan_image import RescanImage
from service.scoring.scorer import Scorer
from service.scoring.screen import Screen
from service.scoring.second_looks import SecondLooks
from service.settings import Settings
from service.tables import Image, ImageScore
from tests.scenes import ORANGE, scene_bytes
from tests.service.conftest import AddVersion
from tests.service.resources import resources_of, serving_of

WINDOW = 4


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def scorer(settings: Settings, metrics: Metrics) -> Iterator[Scorer]:
    scorer = Scorer(settings.model_copy(update={"batch_size": WINDOW}), metrics)
    yield scorer
    scorer.close()


def windows_of(images: Sequence[Image]) -> list[Sequence[Image]]:
    return [images[start : start + WINDOW] for start in range(0, len(images), WINDOW)]


class Pool:
    """Stored images, and a version that has not scored them."""

    def __init__(self, client: TestClient, version_id: int, checkpoint: Path) -> None:
        assert isinstance(client.app, FastAPI)
        self.resources = resources_of(client)
        self.blobs = self.resources.blobs
        self.version = LoadedVersion(version_id, "squares", load_checkpoint(checkpoint).eval())
        files = [("files", (f"{n}.png", scene_bytes(n, ORANGE))) for n in range(10 * WINDOW)]
        client.post("/images", files=files).raise_for_status()
        with self.resources.read_sessions.begin() as session:
            self.images = list(session.scalars(select(Image).order_by(Image.id)))

    def score(
        self, scorer: Scorer, windows: Iterable[Sequence[Image]] | None = None
    ) -> RescanSummary:
        return score_stored(
            replace(self.resources, scorer=scorer),
            self.version,
            windows_of(self.images) if windows is None else windows,
        )

    def exact_log_odds(self) -> list[float]:
        """Score each image alone in float32, in order."""
        detector = self.version.detector
        contents = [self.blobs.get(image.blob_key) for image in self.images]
        predictions = [predict(detector, [prepare(detector, content)])[0] for content in contents]
        return [prediction.log_odds or math.nan for prediction in predictions]

    def saved_log_odds(self) -> list[float]:
        """Return the saved score of each image, in order."""
        scores = self.scores()
        return [scores[image.id].log_odds or math.nan for image in self.images]

    def scores(self) -> dict[int, ImageScore]:
        with self.resources.read_sessions.begin() as session:
            return store.find_scores(session, self.version.id, [image.id for image in self.images])


@pytest.fixture
def pool(client: TestClient, checkpoint: Path, add_version: AddVersion) -> Pool:
    return Pool(client, add_version(checkpoint, "squares"), checkpoint)


def test_every_image_gets_its_own_score(pool: Pool, scorer: Scorer) -> None:
    summary = pool.score(scorer)

    found = pool.saved_log_odds()
    assert summary == RescanSummary(len(pool.images), frozenset())
    assert found == pytest.approx(pool.exact_log_odds(), abs=1e-3)
    assert len(set(found)) == len(found)  # otherwise a mix-up would not show


def test_damaged_and_missing_images_get_their_failure_and_others_their_score(
    pool: Pool, scorer: Scorer
) -> None:
    gone, damaged = pool.images[WINDOW + 1], pool.images[WINDOW + 2]
    pool.blobs.delete(gone.blob_key)
    pool.blobs.put(damaged.blob_key, pool.blobs.get(damaged.blob_key)[:2000])

    pool.score(scorer)

    failed = {id_ for id_, score in pool.scores().items() if score.failure is not None}
    assert failed == {gone.id, damaged.id}
    assert len(pool.scores()) == len(pool.images)


def test_image_that_cannot_be_read_for_now_stays_without_a_score(
    pool: Pool, scorer: Scorer
) -> None:
    odd = pool.images[WINDOW + 1]
    odd.blob_key = "../no-key"  # the store refuses it

    summary = pool.score(scorer)

    assert summary.unread_splits == {"pool"}
    assert set(pool.scores()) == {image.id for image in pool.images} - {odd.id}


def test_unreadable_image_in_a_window_of_one_does_not_stop_the_rescan(
    pool: Pool, scorer: Scorer
) -> None:
    odd, *others = pool.images[: WINDOW + 1]
    odd.blob_key = "../no-key"

    pool.score(scorer, [[odd], others])

    assert set(pool.scores()) == {image.id for image in others}


def test_window_without_a_readable_image_is_an_error(pool: Pool, scorer: Scorer) -> None:
    for image in pool.images:
        image.blob_key = "../no-key"

    with pytest.raises(ValueError, match="no-key"):  # the caller tries again after a pause
        pool.score(scorer)


def test_stopped_rescan_saves_what_is_scored_and_a_second_one_does_the_rest(
    pool: Pool, scorer: Scorer
) -> None:
    class Stopped(Exception):
        pass

    def windows() -> Iterator[Sequence[Image]]:
        yield from windows_of(pool.images)[:6]
        raise Stopped

    with pytest.raises(Stopped):
        pool.score(scorer, windows())

    first = set(pool.scores())
    assert first == {image.id for image in pool.images[: len(first)]}
    assert WINDOW <= len(first) <= 5 * WINDOW
    left = [image for image in pool.images if image.id not in first]
    pool.score(scorer, windows_of(left))
    assert set(pool.scores()) == {image.id for image in pool.images}


def test_windows_are_read_only_as_fast_as_scores_come(
    pool: Pool, scorer: Scorer, metrics: Metrics
) -> None:
    lead: list[float] = []

    def watched() -> Iterator[Sequence[Image]]:
        for number, window in enumerate(windows_of(pool.images)):
            scored = metrics.registry.get_sample_value(
                "hardneg_scored_images_total", {"result": "scored"}
            )
            lead.append(number * WINDOW - (scored or 0))
            yield window

    pool.score(scorer, watched())

    assert max(lead) <= 3 * WINDOW


class _RecordingScorer(Scorer):
    """A scorer that records, in order, which images were submitted for a quick score."""

    submitted_quick: list[bool]

    def submit(
        self,
        version: LoadedVersion,
        image: PreparedImage,
        *,
        priority: int = ONLINE,
        quick: bool = False,
        min_score: float = 0.0,
    ) -> Future[Prediction]:
        self.submitted_quick.append(quick)
        return super().submit(version, image, priority=priority, quick=quick, min_score=min_score)


def test_second_looks_fill_batches(pool: Pool, settings: Settings, metrics: Metrics) -> None:
    never_sure = Screen(exact_top=1, sample_size=10**6)
    pool.version = replace(pool.version, screen=never_sure, batch_size=2 * WINDOW)
    scorer = _RecordingScorer(settings, metrics)
    scorer.submitted_quick = []

    summary = pool.score(scorer)
    scorer.close()

    first_quick = scorer.submitted_quick.index(True)
    runs = [
        (is_quick, len(list(run)))
        for is_quick, run in groupby(scorer.submitted_quick[first_quick:])
    ]
    num_quick = sum(size for is_quick, size in runs if is_quick)
    second_looks = [size for is_quick, size in runs if not is_quick]
    assert num_quick >= 3 * WINDOW
    assert sum(second_looks) == num_quick
    assert all(size == 2 * WINDOW for size in second_looks[:-1])
    assert summary.num_images == len(pool.images)
    assert pool.saved_log_odds() == pytest.approx(pool.exact_log_odds(), abs=1e-3)


def test_quick_scores_stay_only_below_the_top(pool: Pool, scorer: Scorer) -> None:
    detector = pool.version.detector
    assert isinstance(detector, Detector)

    def shifted(pixels: Tensor) -> dict[str, Tensor]:
        """Compute log-odds that are up to 0.01 too high, on any processor."""
        with torch.autocast("cpu", enabled=False):
            outputs = detector.dense(pixels)
        outputs["cls_logits"][..., 1:] += 0.01
        return outputs

    screen = Screen(exact_top=1, dense=shifted)
    screen.add_measurements(64, 0.01)  # otherwise all of so small a pool would be the sample
    pool.version = replace(pool.version, screen=screen, batch_size=WINDOW)

    pool.score(scorer)

    exact = pool.exact_log_odds()
    errors = [saved - right for saved, right in zip(pool.saved_log_odds(), exact, strict=True)]
    is_quick = [error > 0.005 for error in errors]
    assert all(quick or abs(error) < 1e-3 for quick, error in zip(is_quick, errors, strict=True))
    assert any(is_quick)
    assert not is_quick[exact.index(max(exact))]


def _rescan_images(count: int) -> list[RescanImage]:
    return [RescanImage(Image(), Future()) for _ in range(count)]


def test_second_looks_wait_eight_windows_at_most() -> None:
    second_looks = SecondLooks(batch_size=4)
    first, later, last = _rescan_images(2), _rescan_images(1), _rescan_images(1)

    def sizes_due(*windows: list[RescanImage]) -> list[int]:
        sizes = []
        for window in windows:
            second_looks.add_window(window)
            sizes.append(sum(len(batch) for batch in second_looks.take_due(at_end=False)))
        return sizes

    assert sizes_due(first, later, [], [], [], [], [], []) == [0] * 7 + [3]
    assert sizes_due([], last, [], [], [], [], [], [], []) == [0] * 8 + [1]
    assert sizes_due(last) == [0]
    assert second_looks.take_due(at_end=True) == [last]


def test_rest_of_a_full_batch_waits_from_its_own_window_on() -> None:
    second_looks = SecondLooks(batch_size=4)
    images = _rescan_images(6)
    for _ in range(6):
        second_looks.add_window([])
    second_looks.add_window(images[:1])

    second_looks.add_window(images[1:])
    (full,) = second_looks.take_due(at_end=False)
    for _ in range(6):
        second_looks.add_window([])
        assert second_looks.take_due(at_end=False) == []
    second_looks.add_window([])

    assert full == images[:4]
    assert second_looks.take_due(at_end=False) == [images[4:]]


def test_scores_that_cannot_be_saved_are_an_error(pool: Pool, scorer: Scorer) -> None:
    pool.version = LoadedVersion(10**6, "unknown", pool.version.detector)

    with pytest.raises(Exception, match=r"(?i)foreign key"):
        pool.score(scorer)


def test_uploads_are_decoded_before_rescans() -> None:
    threads = DecodeThreads(1)
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def block(_: str) -> None:
        begun.set()
        go_on.wait()

    threads.submit(block, "", priority=RESCAN)
    begun.wait()
    rescan = [threads.submit(order.append, name, priority=RESCAN) for name in ("a", "b", "c")]
    threads.submit(order.append, "upload", priority=ONLINE)
    rescan[1].cancel()
    go_on.set()
    threads.close()

    assert order == ["upload", "a", "c"]
    with pytest.raises(CancelledError):
        rescan[1].result()


def test_swap_during_a_sweep_leaves_no_image_without_a_score(
    client: TestClient, checkpoint: Path, add_version: AddVersion
) -> None:
    scorer = resources_of(client).scorer
    files = [("files", (f"{n}.png", scene_bytes(n, ORANGE))) for n in range(100)]
    client.post("/images", files=files).raise_for_status()
    add_version(checkpoint, "squares")
    client.post("/model-versions/squares/activate").raise_for_status()

    deadline = time.monotonic() + 60
    while (scored := _num_scored(client)) < 100:
        if scored < 80:  # the same version, so its sweep goes on
            scorer.swap(replace(serving_of(scorer)))
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _num_scored(client: TestClient) -> int:
    return int(client.get("/hard-negatives").json()["pool"]["scored"])
