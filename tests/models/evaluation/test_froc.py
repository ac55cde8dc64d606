import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from models.data.ground_truth import GroundTruth
from models.detectors.detections import Detections
from models.evaluation.false_detections import FalseDetections
from models.evaluation.froc import (
    fppi_at_recall,
    froc,
    recall_at,
    recall_at_fppi,
    threshold_at_recall,
)
from models.evaluation.matching import match

OBJECT = [0.0, 0.0, 10.0, 10.0]
ELSEWHERE = [50.0, 50.0, 60.0, 60.0]


def found(*scored_boxes: tuple[float, list[float]]) -> Detections:
    ordered = sorted(scored_boxes, reverse=True)
    return Detections(
        torch.tensor([box for _, box in ordered]).reshape(-1, 4),
        torch.tensor([score for score, _ in ordered]),
        torch.ones(len(ordered), dtype=torch.int64),
    )


def one_object() -> GroundTruth:
    return GroundTruth(torch.tensor([OBJECT]), torch.tensor([1]))


LABELLED = [
    found((0.9, OBJECT), (0.7, OBJECT)),  # the second is a duplicate, hence false
    found((0.6, ELSEWHERE), (0.3, OBJECT)),
]
NEGATIVES = [found((0.8, OBJECT)), found((0.3, OBJECT), (0.2, ELSEWHERE))]


def test_froc_by_hand() -> None:
    table = match(LABELLED, [one_object(), one_object()], 1)

    curve = froc(table, FalseDetections.of(NEGATIVES))

    np.testing.assert_allclose(curve.thresholds, [0.9, 0.8, 0.7, 0.6, 0.3, 0.2], atol=1e-7)
    np.testing.assert_allclose(curve.recall, [0.5, 0.5, 0.5, 0.5, 1.0, 1.0])
    np.testing.assert_allclose(curve.fppi, [0, 0.25, 0.5, 0.75, 1.0, 1.25])
    assert recall_at_fppi(curve, 0.5) == 0.5
    assert recall_at_fppi(curve, 2) == 1.0


def test_fppi_at_a_recall_by_hand() -> None:
    table = match(LABELLED, [one_object(), one_object()], 1)
    negatives = FalseDetections.of(NEGATIVES)

    half, whole = (fppi_at_recall(table, negatives, recall) for recall in (0.5, 1.0))

    assert half.threshold == pytest.approx(0.9)
    assert (half.recall.value, half.fppi.value) == (0.5, 0)
    assert whole.threshold == pytest.approx(0.3)
    assert (whole.recall.value, whole.fppi.value) == (1, 1)


def test_fppi_at_an_unreachable_recall_is_nan() -> None:
    table = match([found(), LABELLED[0]], [one_object(), one_object()], 1)

    price = fppi_at_recall(table, FalseDetections.of(NEGATIVES), 1.0)

    assert np.isnan(price.threshold)
    assert np.isnan(price.fppi.value)
    assert price.recall.value == 0.5


def test_froc_equals_plain_loops_over_thresholds() -> None:
    generator = torch.Generator().manual_seed(0)
    labelled, truths = [], []
    for _ in range(12):
        corners = torch.rand(3, 2, generator=generator) * 50
        boxes = torch.cat([corners, corners + 15], dim=1)
        moved = boxes + torch.randn(3, 4, generator=generator) * 3
        scores = (torch.rand(3, generator=generator) * 10).round() / 10
        order = scores.argsort(descending=True)
        truths.append(GroundTruth(boxes[:2], torch.ones(2, dtype=torch.int64)))
        labelled.append(Detections(moved[order], scores[order], torch.ones(3, dtype=torch.int64)))

    curve = froc(match(labelled, truths, 1), FalseDetections.of(NEGATIVES))

    for threshold, recall, fppi in zip(curve.thresholds, curve.recall, curve.fppi, strict=True):
        right, false = 0, 0
        for image, truth in zip(labelled, truths, strict=True):
            free = set(range(len(truth)))
            for box, score in zip(image.boxes, image.scores.tolist(), strict=True):
                if score < threshold:
                    continue
                iou = box_iou(box[None], truth.boxes)[0]
                best = max(free, key=lambda index: float(iou[index]), default=None)
                if best is not None and iou[best] >= 0.5:
                    free.discard(best)
                    right += 1
                else:
                    false += 1
        false += sum(int((image.scores.double() >= threshold).sum()) for image in NEGATIVES)
        assert recall == pytest.approx(right / 24)
        assert fppi == pytest.approx(false / 14)


def test_threshold_at_a_recall_is_the_threshold_of_that_recall() -> None:
    truths = [one_object()] * 7
    images = [found((0.1 * number, OBJECT)) for number in range(1, 8)]
    table = match(images, truths, 1)

    for number in range(1, 8):
        threshold = float(table.scores[number - 1])
        recall = recall_at(table, threshold)
        assert recall.value == pytest.approx(number / 7)
        assert threshold_at_recall(table, recall.value) == threshold


def test_recall_outside_its_range_is_refused() -> None:
    table = match(LABELLED, [one_object(), one_object()], 1)

    with pytest.raises(ValueError, match="recall"):
        threshold_at_recall(table, 1.5)


def test_froc_without_objects_is_refused() -> None:
    table = match([found()], [GroundTruth.empty()], 1)

    with pytest.raises(ValueError, match="labelled object"):
        froc(table, FalseDetections.of(NEGATIVES))
