"""Batches of several versions, from one thread or from two as for a GPU."""

import pytest
from prometheus_client import CollectorRegistry

from models.inference import predict
from service.scoring.engine import ONLINE, RESCAN, Engine, LoadedVersion
from tests.models.conftest import build_small, draw_images, spread_scores


@pytest.mark.parametrize("num_threads", [1, 2])
def test_every_image_gets_what_it_would_get_alone(num_threads: int) -> None:
    detector = build_small("ssd_small")
    spread_scores(detector)
    registry = CollectorRegistry()
    engine = Engine(0.003, registry, num_threads)
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
    assert registry.get_sample_value("hardneg_batch_images_sum") == 40
    assert registry.get_sample_value("hardneg_batch_images_bucket", {"le": "8.0"}) == (
        registry.get_sample_value("hardneg_batch_images_count")
    )
