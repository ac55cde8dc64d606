"""Greedy matching of detections to objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.ground_truth import GroundTruth
from models.detectors.detections import Detections

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

IOU_THRESHOLDS: FloatArray = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100


@dataclass(frozen=True, slots=True)
class MatchTable:
    """
    The detections of many images in one table, with their matches.

    It holds at most 100 detections per image and class, as COCO prescribes. Rows are in descending
    order of score; equal scores keep the order of images.

    Attributes:
        scores: float [D] in [0, 1].
        labels: int64 [D].
        images: int64 [D], the position of each detection's image.
        is_true: bool [T, D], True if the detection matches an object, per IoU threshold.
        num_objects: int64 [I, K], number of objects per image and class (label - 1).
    """

    scores: FloatArray
    labels: IntArray
    images: IntArray
    is_true: BoolArray
    num_objects: IntArray


def pairwise_iou(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Compute IoU [N, M] of xyxy boxes in COCO's order of operations; 0 if both have no area."""
    size = boxes[:, 2:] - boxes[:, :2]
    other_size = others[:, 2:] - others[:, :2]
    end = np.minimum((boxes[:, :2] + size)[:, None], (others[:, :2] + other_size)[None])
    overlap = np.clip(end - np.maximum(boxes[:, None, :2], others[None, :, :2]), 0, None)
    intersection = overlap[..., 0] * overlap[..., 1]
    union = size.prod(axis=1)[:, None] + other_size.prod(axis=1)[None] - intersection
    iou: FloatArray = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return iou


def match_class(iou: FloatArray, iou_thresholds: FloatArray = IOU_THRESHOLDS) -> BoolArray:
    """
    Match detections of one class, best first, each to the free object that it overlaps most.

    Better detections choose first, so dropping the lowest ones changes no other match: one matching
    is valid for every score threshold.

    Args:
        iou: float [N, M]; detections in descending order of score against objects.
        iou_thresholds: float [T]; a match needs at least that much.

    Returns:
        bool [T, N], True for detections that got an object.

    Source:
        COCOeval.evaluateImg of the COCO evaluation, without crowd regions. Among objects with
        equal overlap, the last one is matched.
    """
    num_detections, num_objects = iou.shape
    is_true = np.zeros((len(iou_thresholds), num_detections), dtype=bool)
    if num_objects == 0:
        return is_true
    is_free = np.ones((len(iou_thresholds), num_objects), dtype=bool)
    rows = np.arange(len(iou_thresholds))
    for index in np.flatnonzero(iou.max(axis=1) >= iou_thresholds.min()):
        overlap = np.where(is_free & (iou[index] >= iou_thresholds[:, None]), iou[index], -1.0)
        best = num_objects - 1 - overlap[:, ::-1].argmax(axis=1)
        found = overlap[rows, best] >= 0
        is_true[found, index] = True
        is_free[rows[found], best[found]] = False
    return is_true


def match(
    detections: Sequence[Detections],
    truths: Sequence[GroundTruth],
    num_classes: int,
    *,
    iou_thresholds: FloatArray = IOU_THRESHOLDS,
) -> MatchTable:
    """
    Match the detections of every image to its objects, class by class.

    Args:
        detections: the detections of each image.
        truths: the objects of each image, in the same order.
        num_classes: K; labels run from 1 to K.
        iou_thresholds: float [T].

    Raises:
        ValueError: The lists differ in length, or a label is outside 1..K.
    """
    if len(detections) != len(truths):
        raise ValueError(f"{len(detections)=} and {len(truths)=} must be equal")
    num_objects = np.zeros((len(truths), num_classes), dtype=np.int64)
    rows: list[tuple[FloatArray, IntArray, IntArray, BoolArray]] = []
    for image, (found, truth) in enumerate(zip(detections, truths, strict=True)):
        found_labels, truth_labels = _labels(found, num_classes), _labels(truth, num_classes)
        np.add.at(num_objects[image], truth_labels - 1, 1)
        for label in np.unique(found_labels):
            chosen = np.flatnonzero(found_labels == label)[:MAX_DETECTIONS]
            iou = pairwise_iou(_boxes(found)[chosen], _boxes(truth)[truth_labels == label])
            scores = found.scores.detach().cpu().numpy().astype(np.float64)[chosen]
            rows.append(
                (
                    scores,
                    np.full(len(chosen), label),
                    np.full(len(chosen), image),
                    match_class(iou, iou_thresholds),
                )
            )
    return _table(rows, num_objects, len(iou_thresholds))


def _table(
    rows: list[tuple[FloatArray, IntArray, IntArray, BoolArray]],
    num_objects: IntArray,
    num_thresholds: int,
) -> MatchTable:
    nothing = np.zeros(0, dtype=np.int64)
    empty = (np.zeros(0), nothing, nothing, np.zeros((num_thresholds, 0), dtype=bool))
    scores, labels, images, is_true = (
        np.concatenate(column, axis=-1) for column in zip(empty, *rows, strict=True)
    )
    order = np.argsort(-scores, kind="stable")
    return MatchTable(scores[order], labels[order], images[order], is_true[:, order], num_objects)


def _boxes(item: Detections | GroundTruth) -> FloatArray:
    return item.boxes.detach().cpu().numpy().astype(np.float64)


def _labels(item: Detections | GroundTruth, num_classes: int) -> IntArray:
    labels = item.labels.detach().cpu().numpy().astype(np.int64)
    if len(labels) and not (labels.min() >= 1 and labels.max() <= num_classes):
        raise ValueError(f"labels {np.unique(labels)} must lie in 1..{num_classes}")
    return labels
