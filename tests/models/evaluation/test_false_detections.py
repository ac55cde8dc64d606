import numpy as np
import pytest
import torch

from models.detectors.detections import Detections
from models.evaluation.false_detections import (
    FalseDetections,
    false_detection_stats,
    fppi_curve,
    score_histogram,
)

NUM_CLASSES = 2


def detections(*scored_labels: tuple[float, int]) -> Detections:
    ordered = sorted(scored_labels, reverse=True)
    return Detections(
        torch.zeros(len(ordered), 4),
        torch.tensor([score for score, _ in ordered]),
        torch.tensor([label for _, label in ordered], dtype=torch.int64),
    )


def random_negatives(num_images: int = 30) -> list[Detections]:
    generator = np.random.default_rng(5)
    return [
        detections(
            *zip(
                generator.integers(0, 11, size=size) / 10,
                generator.integers(1, NUM_CLASSES + 1, size=size).tolist(),
                strict=True,
            )
        )
        for size in generator.integers(0, 5, size=num_images)
    ]


def test_three_images_by_hand() -> None:
    found = FalseDetections.of(
        [detections((0.9, 1), (0.6, 2), (0.4, 1)), detections(), detections((0.5, 1))]
    )

    stats = false_detection_stats(found, 0.5, NUM_CLASSES)

    assert stats.num_false_detections.value == 3
    assert stats.fppi.value == 1
    assert stats.share_of_images.value == pytest.approx(2 / 3)
    assert [interval.value for interval in stats.fppi_by_class] == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.75, 1.0, 1.01])
def test_counts_equal_those_of_plain_loops(threshold: float) -> None:
    images = random_negatives()

    stats = false_detection_stats(FalseDetections.of(images), threshold, NUM_CLASSES)

    total, images_with_any, by_class = 0, 0, [0, 0]
    for image in images:
        kept = [
            label
            for score, label in zip(image.scores.tolist(), image.labels.tolist(), strict=True)
            if score >= threshold
        ]
        total += len(kept)
        images_with_any += bool(kept)
        for label in kept:
            by_class[label - 1] += 1
    assert stats.num_false_detections.value == pytest.approx(total)
    assert stats.fppi.value == pytest.approx(total / len(images))
    assert stats.share_of_images.value == pytest.approx(images_with_any / len(images))
    assert [i.value * len(images) for i in stats.fppi_by_class] == pytest.approx(by_class)


def test_intervals_contain_their_value_and_repeat() -> None:
    found = FalseDetections.of(random_negatives())

    stats = false_detection_stats(found, 0.5, NUM_CLASSES, seed=4)

    for interval in (stats.num_false_detections, stats.fppi, stats.share_of_images):
        assert interval.low < interval.value < interval.high
    assert stats == false_detection_stats(found, 0.5, NUM_CLASSES, seed=4)


def test_a_bootstrap_by_plain_loops_gives_nearly_the_same_interval() -> None:
    images = random_negatives()
    generator = np.random.default_rng(0)
    resampled = []
    for _ in range(1000):
        drawn = [images[index] for index in generator.integers(0, len(images), len(images))]
        resampled.append(sum(int((i.scores >= 0.5).sum()) for i in drawn) / len(images))

    interval = false_detection_stats(FalseDetections.of(images), 0.5, NUM_CLASSES).fppi

    assert interval.low == pytest.approx(np.quantile(resampled, 0.025), abs=0.1)
    assert interval.high == pytest.approx(np.quantile(resampled, 0.975), abs=0.1)


def test_fppi_curve_equals_fppi_at_each_threshold() -> None:
    found = FalseDetections.of(random_negatives())

    curve = fppi_curve(found, np.array([0.2, 0.8]), seed=1)

    alone = [false_detection_stats(found, t, NUM_CLASSES, seed=1).fppi for t in (0.2, 0.8)]
    assert [(i.value, i.low, i.high) for i in curve] == [
        pytest.approx((i.value, i.low, i.high)) for i in alone
    ]


def test_histogram_counts_each_image_once_by_its_highest_score() -> None:
    found = FalseDetections.of([detections((0.9, 1), (0.1, 1)), detections(), detections((1.0, 2))])

    histogram = score_histogram(found, num_bins=2)

    assert histogram.edges == (0.0, 0.5, 1.0)
    assert histogram.num_images == (1, 2)
    assert histogram.share_of_images[1].value == pytest.approx(2 / 3)


def test_images_without_any_detection_count() -> None:
    stats = false_detection_stats(FalseDetections.of([detections()] * 4), 0.5, NUM_CLASSES)

    assert stats.num_images == 4
    assert stats.fppi.value == 0
    assert stats.share_of_images.high > 0


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        FalseDetections.of([])


def test_unknown_label_is_refused() -> None:
    found = FalseDetections.of([detections((0.9, 3))])

    with pytest.raises(ValueError, match=r"1\.\.2"):
        false_detection_stats(found, 0.5, NUM_CLASSES)
