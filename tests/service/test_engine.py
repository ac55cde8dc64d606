"""The inference engine: batches of several versions, in one thread or in two as on a GPU."""

from pathlib import Path

import pytest
import torch

from models.detectors.checkpoint import load_checkpoint
from models.inference.predict import predict, prepare
from service.metrics import Metrics
from service.scoring.decoders import DecodeThreads
from service.scoring.engine import ONLINE, RESCAN, InferenceEngine, LoadedVersion
from service.scoring.scorer import Scorer
from service.scoring.splits import min_score_of
from service.settings import Settings
from tests.models.conftest import build_small, draw_images, spread_scores
from tests.scenes import RED, scene_bytes


@pytest.mark.parametrize("num_threads", [1, 2])
def test_every_image_gets_the_score_it_gets_alone(num_threads: int) -> None:
    detector = build_small("ssd_small")
    spread_scores(detector)
    metrics = Metrics()
    engine = InferenceEngine(0.003, metrics, num_threads)
    versions = [LoadedVersion(i, f"v{i}", detector.eval(), batch_size=4 + i) for i in range(2)]
    images = [
        detector.preprocess(image) for image in draw_images([(60, 70 + i) for i in range(40)])
    ]

    futures = [
        engine.submit(versions[i % 2], image, priority=RESCAN if i % 3 else ONLINE)
        for i, image in enumerate(images)
    ]
    engine.close()

    for image, future in zip(images, futures, strict=True):
        (alone,) = predict(detector, [image])
        assert future.result(0).log_odds == pytest.approx(alone.log_odds, abs=1e-4)
    assert metrics.registry.get_sample_value("hardneg_batch_images_sum") == 40
    assert metrics.registry.get_sample_value("hardneg_batch_images_bucket", {"le": "8.0"}) == (
        metrics.registry.get_sample_value("hardneg_batch_images_count")
    )


def test_only_ranked_images_lose_detections_below_the_floor(checkpoint: Path) -> None:
    detector = load_checkpoint(checkpoint).eval()
    image = prepare(detector, scene_bytes(1, RED))
    (every,) = predict(detector, [image])
    lowest, highest = every.detections.scores.min().item(), every.detections.scores.max().item()
    floor = (lowest + highest) / 2
    settings = Settings(detection_floor=floor, device="cpu")
    scorer = Scorer(settings, Metrics())
    version = LoadedVersion(1, "v1", detector)

    futures = [
        scorer.submit(version, image, min_score=min_score_of(split, settings))
        for split in ("pool", "negative-test", "val", "pool")
    ]
    scorer.close()

    counts = [len(future.result(0).detections) for future in futures]
    num_above = int((every.detections.scores > floor).sum())
    assert 0 < num_above < len(every.detections)
    assert counts == [num_above, len(every.detections), len(every.detections), num_above]


def test_rescan_does_not_fill_up_the_batch_of_an_upload() -> None:
    detector = build_small("ssd_small")
    spread_scores(detector)
    metrics = Metrics()
    engine = InferenceEngine(1.0, metrics)  # the first batch would wait so long for more
    version = LoadedVersion(1, "v1", detector.eval(), batch_size=16)
    image = detector.preprocess(draw_images([(60, 70)])[0])

    futures = [
        engine.submit(version, image, priority=priority) for priority in (ONLINE, *[RESCAN] * 8)
    ]
    engine.close()

    assert all(future.result(0).log_odds is not None for future in futures)
    assert metrics.registry.get_sample_value("hardneg_batch_images_bucket", {"le": "1.0"}) == 1
    assert metrics.registry.get_sample_value("hardneg_batch_images_sum") == 9


def test_scorer_leaves_the_number_of_torch_threads_unchanged(checkpoint: Path) -> None:
    before = torch.get_num_threads()
    detector = load_checkpoint(checkpoint).eval()
    image = prepare(detector, scene_bytes(1, RED))
    try:
        torch.set_num_threads(3)
        scorer = Scorer(Settings(engine_threads=2, device="cpu"), Metrics())
        version = LoadedVersion(1, "v1", detector, batch_size=1)
        futures = [scorer.submit(version, image) for _ in range(4)]
        scorer.close()
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

    assert all(future.result(0).log_odds is not None for future in futures)
    assert after == 3  # a worker trains in the thread that had the scorer


def test_alternating_images_of_two_batch_keys_still_fill_batches() -> None:
    detector = build_small("ssd_small")
    spread_scores(detector)
    metrics = Metrics()
    engine = InferenceEngine(0.003, metrics)
    version = LoadedVersion(1, "v1", detector.eval(), batch_size=8)
    image = detector.preprocess(draw_images([(60, 70)])[0])
    scores = predict(detector, [image])[0].detections.scores
    floor = (
        scores.sort().values[[49, 50]].mean().item()
    )  # a score differs in its last bits between batches

    futures = [
        engine.submit(version, image, priority=RESCAN, min_score=floor if i % 2 else 0.0)
        for i in range(32)
    ]
    engine.close()

    counts = [len(future.result(0).detections) for future in futures]
    assert counts == [len(scores), int((scores > floor).sum())] * 16
    num_batches = metrics.registry.get_sample_value("hardneg_batch_images_count")
    assert num_batches is not None
    assert num_batches <= 12


def test_closed_threads_refuse_work() -> None:
    detector = build_small("ssd_small").eval()
    engine = InferenceEngine(0.003, Metrics())
    threads = DecodeThreads(1)
    engine.close()
    threads.close()

    image = detector.preprocess(draw_images([(60, 70)])[0])
    with pytest.raises(RuntimeError, match="closed"):  # better than a future that never ends
        engine.submit(LoadedVersion(1, "v1", detector), image, priority=ONLINE)
    with pytest.raises(RuntimeError, match="closed"):
        threads.submit(len, "", priority=ONLINE)


def test_window_follows_the_batch_size_of_the_version_that_scores(checkpoint: Path) -> None:
    scorer = Scorer(Settings(engine_threads=2, device="cpu"), Metrics())
    version = LoadedVersion(1, "v1", load_checkpoint(checkpoint).eval(), batch_size=64)

    windows = scorer.window, scorer.window_of(version)
    scorer.close()

    assert windows == (2 * 8, 2 * 64)
