import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from models.data.datasets import LabelledImage
from models.detectors.detections import Detections
from models.evaluation.evaluate import Evaluation, EvaluationImages, compare, evaluate, predict_all
from models.evaluation.false_detections import false_detection_stats
from models.evaluation.froc import fppi_at_recall
from models.training.config import TrainingConfig
from models.training.loop import train
from tests.models.squares import negatives, squares, tiny_detector


@pytest.fixture(scope="module")
def trained() -> Evaluation:
    """Evaluate a detector that finds squares and takes some discs for squares."""
    detector = tiny_detector()
    config = TrainingConfig(epochs=1, steps_per_epoch=60, batch_size=8, learning_rate=3e-3)
    train(detector, squares(40), [], [], config)
    return evaluate(detector.eval(), squares(12, seed=1), negatives(10))


def test_predicting_keeps_the_training_mode() -> None:
    detector = tiny_detector().train()

    predict_all(detector, EvaluationImages(detector, squares(2)))

    assert detector.training


def test_predictions_do_not_depend_on_how_images_are_batched() -> None:
    detector = tiny_detector().eval()
    images = EvaluationImages(detector, squares(5))

    together, apart = predict_all(detector, images), predict_all(detector, images, batch_size=2)

    for one, other in zip(together, apart, strict=True):
        assert one.max_score == pytest.approx(other.max_score, abs=1e-5)


def test_an_image_is_prepared_once_while_it_fits() -> None:
    num_reads = 0
    data = squares(1)[0].read()

    def read() -> bytes:
        nonlocal num_reads
        num_reads += 1
        return data

    images = EvaluationImages(tiny_detector(), [LabelledImage.negative("a", read)])

    assert torch.equal(images[0].pixels, images[0].pixels)
    assert num_reads == 1


def test_a_trained_detector_finds_squares_and_some_discs(trained: Evaluation) -> None:
    assert trained.average_precision.ap50 > 0.5
    assert len(trained.labelled) == 12
    assert len(trained.negatives) == 10
    assert trained.false_detections.num_images == 10


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.3, 0.5, 0.9])
def test_figures_equal_those_of_plain_loops_over_stored_boxes(
    trained: Evaluation, threshold: float, tmp_path: Path
) -> None:
    stored = tmp_path / "detections.json"
    stored.write_text(
        json.dumps(
            {
                "labelled": [
                    [found.boxes.tolist(), found.scores.tolist(), truth.boxes.tolist()]
                    for found, truth in zip(trained.labelled, trained.truths, strict=True)
                ],
                "negatives": [found.scores.tolist() for found in trained.negatives],
            }
        )
    )

    stats = false_detection_stats(trained.false_detections, threshold, trained.num_classes)
    recall = trained.recall(threshold)

    rows = json.loads(stored.read_text())
    false = [sum(score >= threshold for score in scores) for scores in rows["negatives"]]
    num_right = sum(_num_right(*row, threshold=threshold) for row in rows["labelled"])
    assert stats.num_false_detections.value == pytest.approx(sum(false))
    assert stats.fppi.value == pytest.approx(sum(false) / len(false))
    assert stats.share_of_images.value == sum(count > 0 for count in false) / len(false)
    assert recall.value == num_right / sum(len(row[2]) for row in rows["labelled"])


def _num_right(
    boxes: list[list[float]], scores: list[float], objects: list[list[float]], *, threshold: float
) -> int:
    free, num_right = list(range(len(objects))), 0
    for box, score in zip(boxes, scores, strict=True):
        if score < threshold or not free:
            continue
        overlaps = box_iou(torch.tensor([box]), torch.tensor(objects))[0]
        best = max(free, key=overlaps.__getitem__)
        if overlaps[best] >= 0.5:
            free.remove(best)
            num_right += 1
    return num_right


def with_lower_scores_on_negatives(evaluation: Evaluation, factor: float) -> Evaluation:
    return replace(
        evaluation,
        negatives=tuple(
            Detections(found.boxes, found.scores * factor, found.labels)
            for found in evaluation.negatives
        ),
    )


def test_versions_are_compared_at_equal_recall(trained: Evaluation) -> None:
    candidate = with_lower_scores_on_negatives(trained, 0.1)

    comparison = compare(candidate, trained, threshold=0.3)

    assert comparison.parent.recall.value == comparison.candidate.recall.value
    assert comparison.parent == fppi_at_recall(
        trained.matches, trained.false_detections, trained.recall(0.3).value
    )
    assert comparison.candidate.fppi.value < comparison.parent.fppi.value
    assert comparison.ap50_95_difference.value == 0


def test_comparison_with_a_parent_that_finds_nothing_is_refused(trained: Evaluation) -> None:
    with pytest.raises(ValueError, match="finds no object"):
        compare(trained, trained, threshold=1.1)


def test_comparison_over_different_images_is_refused(trained: Evaluation) -> None:
    fewer = replace(trained, truths=trained.truths[:5], labelled=trained.labelled[:5])

    with pytest.raises(ValueError, match="same images"):
        compare(fewer, trained, threshold=0.3)


def test_false_detections_without_negatives_are_refused() -> None:
    detector = tiny_detector().eval()

    evaluation = evaluate(detector, squares(2), [])

    assert np.isfinite(evaluation.average_precision.ap50_95)
    with pytest.raises(ValueError, match="at least one image"):
        _ = evaluation.false_detections
