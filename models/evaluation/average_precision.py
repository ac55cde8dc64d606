"""AP@[.5:.95] and related figures by faster-coco-eval, and an exact weighted AP to bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from models.data.ground_truth import GroundTruth
from models.detectors.detections import Detections
from models.evaluation.intervals import Interval, percentile_interval, resample_counts
from models.evaluation.matching import MatchTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RECALLS: FloatArray = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """
    COCO's figures over all sizes, at most 100 detections per image; NaN without objects.

    Attributes:
        ap50_95: mean over IoU .50 to .95 in steps of .05, and over classes with objects.
        ap50: at IoU .50.
        ar50_95: highest recall, mean over the same IoUs and classes.
        ap50_95_by_class: one per class, NaN for a class without objects.
    """

    ap50_95: float
    ap50: float
    ar50_95: float
    ap50_95_by_class: tuple[float, ...]


def average_precision(
    detections: Sequence[Detections], truths: Sequence[GroundTruth], num_classes: int
) -> AveragePrecision:
    """Evaluate as COCO does; detections and objects are in the same order of images."""
    if len(detections) != len(truths):
        raise ValueError(f"{len(detections)=} and {len(truths)=} must be equal")
    truth = COCO(_coco_dataset(truths, num_classes))
    evaluation = COCOeval_faster(truth, truth.loadRes(_coco_results(detections)), iouType="bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    precision = _without_missing(evaluation.eval["precision"][:, :, :, 0, -1])  # [T, R, K]
    recall = _without_missing(evaluation.eval["recall"][:, :, 0, -1])  # [T, K]
    by_class = precision.mean(axis=(0, 1))
    return AveragePrecision(
        ap50_95=_mean(by_class),
        ap50=_mean(precision[0].mean(axis=0)),
        ar50_95=_mean(recall.mean(axis=0)),
        ap50_95_by_class=tuple(by_class.tolist()),
    )


def weighted_average_precision(table: MatchTable, weights: IntArray) -> FloatArray:
    """
    Compute AP@[.5:.95] of many resamples of the same images at once.

    The result is that of a data set with `weights[r, i]` copies of image i: precision is highest,
    and a recall first reached, at the last copy of a true detection, so one cumulative weighted
    count per resample, read at the true detections, is enough. (COCO leaves the order of equal
    scores within an image open; copies of the image would take turns there.)

    Args:
        table: from `match` over all images, T IoU thresholds.
        weights: int64 [R, I].

    Returns:
        float [R]; the mean over thresholds and over classes with objects in the resample; NaN
        without objects.
    """
    num_objects = weights @ table.num_objects
    by_class = np.full(num_objects.shape, np.nan)
    for class_index in range(num_objects.shape[1]):
        chosen = table.labels == class_index + 1
        copies = weights[:, table.images[chosen]]
        found = copies.cumsum(axis=1)
        present = num_objects[:, class_index] > 0
        per_threshold = [
            _interpolated_precision(
                copies[present], found[present], is_true, num_objects[present, class_index]
            )
            for is_true in table.is_true[:, chosen]
        ]
        by_class[present, class_index] = np.mean(per_threshold, axis=0)
    any_present = (num_objects > 0).any(axis=1)
    result = np.full(len(weights), np.nan)
    result[any_present] = np.nanmean(by_class[any_present], axis=1)
    return result


def bootstrap_ap_difference(
    table: MatchTable, parent: MatchTable, *, seed: int, num_resamples: int = 1000
) -> Interval:
    """
    Compute a version's AP@[.5:.95] minus its parent's, on the same images in the same order.

    The bootstrap is paired: each resample draws images once for both, so the difficulty of images
    cancels out.

    Raises:
        ValueError: The tables do not describe the same images.
    """
    if not np.array_equal(table.num_objects, parent.num_objects):
        raise ValueError("the two tables must come from the same images in the same order")
    num_images = len(table.num_objects)
    once = np.ones((1, num_images), dtype=np.int64)
    draws = resample_counts(num_images, seed=seed, num_resamples=num_resamples)
    weights = np.concatenate([once, draws])
    difference = weighted_average_precision(table, weights) - weighted_average_precision(
        parent, weights
    )
    return percentile_interval(float(difference[0]), difference[1:])


def bootstrap_ap(table: MatchTable, *, seed: int, num_resamples: int = 1000) -> Interval:
    """Compute AP@[.5:.95] with its 95 % interval over images."""
    num_images = len(table.num_objects)
    once = np.ones((1, num_images), dtype=np.int64)
    draws = resample_counts(num_images, seed=seed, num_resamples=num_resamples)
    values = weighted_average_precision(table, np.concatenate([once, draws]))
    return percentile_interval(float(values[0]), values[1:])


def _interpolated_precision(
    copies: IntArray, found: IntArray, is_true: NDArray[np.bool_], num_objects: IntArray
) -> FloatArray:
    """Return AP [R] of one class at one IoU threshold: precision at 101 recalls (COCO)."""
    right = np.flatnonzero(is_true)
    num_right = copies[:, right].cumsum(axis=1)
    precision = num_right / np.maximum(found[:, right], 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = num_right / num_objects[:, None]
    padded = np.concatenate([envelope, np.zeros((len(envelope), 1))], axis=1)
    return np.array(
        [
            row[reached.searchsorted(RECALLS, side="left")].mean()
            for row, reached in zip(padded, recall, strict=True)
        ]
    )


def _without_missing(values: FloatArray) -> FloatArray:
    return np.where(values < 0, np.nan, values)


def _mean(values: FloatArray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def _coco_dataset(truths: Sequence[GroundTruth], num_classes: int) -> dict[str, object]:
    annotations = [
        {"image_id": image, "category_id": label, "bbox": box, "area": box[2] * box[3]}
        for image, truth in enumerate(truths, start=1)
        for box, label in zip(_boxes_xywh(truth), truth.labels.tolist(), strict=True)
    ]
    return {
        "images": [{"id": image} for image in range(1, len(truths) + 1)],
        "categories": [{"id": k, "name": str(k)} for k in range(1, num_classes + 1)],
        "annotations": [
            {"id": number, "iscrowd": 0, **annotation}
            for number, annotation in enumerate(annotations, start=1)
        ],
    }


def _coco_results(detections: Sequence[Detections]) -> list[dict[str, object]]:
    return [
        {"image_id": image, "category_id": label, "bbox": box, "score": score}
        for image, found in enumerate(detections, start=1)
        for box, label, score in zip(
            _boxes_xywh(found), found.labels.tolist(), found.scores.tolist(), strict=True
        )
    ]


def _boxes_xywh(item: Detections | GroundTruth) -> list[list[float]]:
    boxes = item.boxes.detach().cpu().double()
    size = boxes[:, 2:] - boxes[:, :2]
    xywh: list[list[float]] = np.concatenate([boxes[:, :2].numpy(), size.numpy()], axis=1).tolist()
    return xywh
