"""An image's boxes with their class scores, and the detections among them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.detectors.detections import Detections
from models.detectors.detector import ScoredImage, no_detections
from models.detectors.foreign.spec import ForeignSpec
from models.detectors.postprocess import highest_of_each, suppress

Array = NDArray[Any]
Region = tuple[float, float, float, float]  # xyxy in pixels of the network's input

LOWEST_PROBABILITY, HIGHEST_PROBABILITY = 2.0**-149, 1 - 2.0**-25  # of float32, apart from 0 and 1
CANDIDATES_PER_CLASS = 1000  # before suppression, as torchvision keeps them


@dataclass(frozen=True, slots=True)
class ScoredBoxes:
    """
    The boxes of one image with their class scores, before any threshold of ours.

    Attributes:
        log_odds: of the highest foreground probability; None if the file gave no score at all.
        scores: float [N, K] in [0, 1], of each box and object class.
        boxes: gives float [M, 4], xyxy in pixels of the network's input, of M chosen rows.
        is_suppressed: whether overlapping boxes are gone already.
    """

    log_odds: float | None
    scores: Array
    boxes: Callable[[Array], Array]
    is_suppressed: bool


def probability_log_odds(probability: float) -> float:
    """Return log p - log(1 - p) in float64, finite for every p in [0, 1]; NaN stays NaN."""
    if math.isnan(probability):
        return probability
    inside = min(max(probability, LOWEST_PROBABILITY), HIGHEST_PROBABILITY)
    return math.log(inside) - math.log1p(-inside)


def highest(values: Array) -> float | None:
    """Return the largest value, NaN if one is NaN, None if there is none."""
    return float(values.max()) if values.size else None


def from_probabilities(
    scores: Array, boxes: Callable[[Array], Array], *, is_suppressed: bool = False
) -> ScoredBoxes:
    """Build the boxes of a layout whose outputs are probabilities [N, K]."""
    best = highest(scores)
    log_odds = None if best is None else probability_log_odds(best)
    return ScoredBoxes(log_odds, scores, boxes, is_suppressed)


def sigmoid(logits: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without overflow, in the type of the logits."""
    small = np.exp(-np.abs(logits))
    result: Array = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
    return result


def scored_image(
    found_boxes: ScoredBoxes, spec: ForeignSpec, min_score: float, region: Region
) -> ScoredImage:
    """
    Keep detections above both thresholds; boxes are worked out for these alone.

    Boxes are cut to `region`, where the image lies in the input; those beside it are dropped.
    """
    threshold = max(min_score, spec.score_threshold)
    row, column = np.nonzero(found_boxes.scores > threshold)
    if not len(row):
        return ScoredImage(found_boxes.log_odds, no_detections())
    scores = torch.from_numpy(found_boxes.scores[row, column].astype(np.float32))
    labels = torch.from_numpy(column)
    chosen = highest_of_each(scores, labels, CANDIDATES_PER_CLASS)
    boxes = found_boxes.boxes(row[chosen.numpy()]).astype(np.float32)
    return ScoredImage(
        found_boxes.log_odds,
        _kept(
            torch.from_numpy(boxes), scores[chosen], labels[chosen] + 1, found_boxes, spec, region
        ),
    )


def _kept(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    labels: torch.Tensor,
    found_boxes: ScoredBoxes,
    spec: ForeignSpec,
    region: Region,
) -> Detections:
    left, top, right, bottom = region
    boxes = boxes.maximum(torch.tensor([left, top, left, top]).to(boxes))
    boxes = boxes.minimum(torch.tensor([right, bottom, right, bottom]).to(boxes))
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    boxes, scores, labels = boxes[has_area], scores[has_area], labels[has_area]
    if not found_boxes.is_suppressed:
        return suppress(boxes, scores, labels, spec)
    order = scores.argsort(descending=True, stable=True)[: spec.detections_per_image]
    return Detections(boxes[order], scores[order], labels[order])
