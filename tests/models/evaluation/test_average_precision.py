import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.ground_truth import GroundTruth
from models.detectors.detections import Detections
from models.evaluation.average_precision import (
    average_precision,
    bootstrap_ap,
    bootstrap_ap_difference,
    weighted_average_precision,
)
from models.evaluation.matching import match

NUM_CLASSES = 3


def boxes_around(centres: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1)


def random_images(seed: int, num_images: int = 6) -> tuple[list[Detections], list[GroundTruth]]:
    """Draw objects, and detections: jittered copies of some objects, and strays."""
    generator = torch.Generator().manual_seed(seed)
    detections, truths = [], []
    for _ in range(num_images):
        num_objects = int(torch.randint(0, 4, (1,), generator=generator))
        centres = torch.rand(num_objects, 2, generator=generator) * 40 + 20
        sizes = torch.rand(num_objects, 2, generator=generator) * 20 + 5
        boxes = boxes_around(centres, sizes)
        labels = torch.randint(1, NUM_CLASSES + 1, (num_objects,), generator=generator)
        truths.append(GroundTruth(boxes, labels))

        jitter = torch.rand(2 * num_objects, 4, generator=generator) * 4 - 2
        strays = boxes_around(
            torch.rand(3, 2, generator=generator) * 40 + 20, torch.full((3, 2), 12.0)
        )
        stray_labels = torch.randint(1, NUM_CLASSES + 1, (3,), generator=generator)
        found = torch.cat([boxes.repeat(2, 1) + jitter, strays])
        # Scores in whole per cent tie between images, but not within one.
        scores = torch.randperm(100, generator=generator)[: len(found)] / 100
        order = scores.argsort(descending=True, stable=True)
        found_labels = torch.cat([labels.repeat(2), stray_labels])
        detections.append(Detections(found[order], scores[order], found_labels[order]))
    return detections, truths


def one_object(*scored_boxes: tuple[float, list[float]]) -> tuple[Detections, GroundTruth]:
    scores = torch.tensor([score for score, _ in scored_boxes])
    boxes = torch.tensor([box for _, box in scored_boxes]).reshape(-1, 4)
    truth = GroundTruth(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([1]))
    return Detections(boxes, scores, torch.ones(len(scores), dtype=torch.int64)), truth


def test_half_overlap_counts_at_iou_50_and_no_higher() -> None:
    found, truth = one_object((0.9, [0.0, 0.0, 10.0, 5.0]))

    result = average_precision([found], [truth], 1)

    assert result.ap50 == pytest.approx(1.0)
    assert result.ap50_95 == pytest.approx(0.1)
    assert result.ar50_95 == pytest.approx(0.1)


def test_a_better_scored_stray_halves_the_precision() -> None:
    found, truth = one_object((0.9, [50.0, 50.0, 60.0, 60.0]), (0.8, [0.0, 0.0, 10.0, 10.0]))

    result = average_precision([found], [truth], 1)

    assert result.ap50_95 == pytest.approx(0.5)


def test_a_class_without_objects_is_left_out_of_the_mean() -> None:
    found, truth = one_object((0.9, [0.0, 0.0, 10.0, 10.0]))

    result = average_precision([found], [truth], 2)

    assert result.ap50_95 == pytest.approx(1.0)
    assert np.isnan(result.ap50_95_by_class[1])


def test_ap_without_objects_is_nan() -> None:
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))

    result = average_precision([nothing], [GroundTruth.empty()], 1)

    assert np.isnan(result.ap50_95)


def test_ap_without_detections_is_zero() -> None:
    found, truth = one_object()

    assert average_precision([found], [truth], 1).ap50_95 == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_weighted_ap_with_every_image_once_is_the_coco_ap(seed: int) -> None:
    detections, truths = random_images(seed)
    table = match(detections, truths, NUM_CLASSES)

    weighted = weighted_average_precision(table, np.ones((1, len(truths)), dtype=np.int64))

    expected = average_precision(detections, truths, NUM_CLASSES).ap50_95
    np.testing.assert_allclose(weighted[0], expected, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_weighted_ap_is_the_coco_ap_of_the_repeated_images(seed: int) -> None:
    detections, truths = random_images(seed)
    weights = np.random.default_rng(seed).integers(0, 4, size=(1, len(truths)))
    drawn = np.repeat(np.arange(len(truths)), weights[0])

    weighted = weighted_average_precision(match(detections, truths, NUM_CLASSES), weights)

    expected = average_precision(
        [detections[index] for index in drawn], [truths[index] for index in drawn], NUM_CLASSES
    ).ap50_95
    np.testing.assert_allclose(weighted[0], expected, atol=1e-12)


def test_equal_detections_have_no_difference_in_any_resample() -> None:
    detections, truths = random_images(7, num_images=20)
    table = match(detections, truths, NUM_CLASSES)

    difference = bootstrap_ap_difference(table, table, seed=0, num_resamples=50)

    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_the_difference_interval_is_narrower_than_the_unpaired_ones() -> None:
    detections, truths = random_images(7, num_images=40)
    table = match(detections, truths, NUM_CLASSES)
    fewer = [Detections(d.boxes[:-1], d.scores[:-1], d.labels[:-1]) for d in detections]
    parent = match(fewer, truths, NUM_CLASSES)

    difference = bootstrap_ap_difference(table, parent, seed=0, num_resamples=300)
    alone = bootstrap_ap(table, seed=0, num_resamples=300)

    assert difference.low <= difference.value <= difference.high
    assert difference.high - difference.low < alone.high - alone.low


def test_difference_over_different_images_is_refused() -> None:
    detections, truths = random_images(1)
    table = match(detections, truths, NUM_CLASSES)
    other = match(detections[:3], truths[:3], NUM_CLASSES)

    with pytest.raises(ValueError, match="same images"):
        bootstrap_ap_difference(table, other, seed=0)


def test_label_outside_the_classes_is_refused() -> None:
    found, truth = one_object((0.9, [0.0, 0.0, 10.0, 10.0]))

    with pytest.raises(ValueError, match=r"1\.\.1"):
        match([found], [GroundTruth(truth.boxes, torch.tensor([2]))], 1)
