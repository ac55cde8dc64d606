"""Negatives that hold an object: frozen with the boxes around which they do not teach."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from models.evaluation.matching import FloatArray, pairwise_iou
from service.scoring import store as score_store
from service.tables import BoxJudgement
from service.training_runs import store
from service.training_runs.store import FrozenBoxes

SAME_BOX_IOU = 0.5  # a detection that overlaps a judged box so far has been judged by it


def frozen_boxes(
    session: Session, version_id: int, image_ids: Sequence[int]
) -> dict[int, FrozenBoxes]:
    """
    Return the boxes of those images that a person has judged to hold an object.

    Ignored are the boxes that are judged to hold an object, and the version's detections that
    nobody has judged; background are those judged to hold none.
    """
    judged = store.judged_boxes_of_partial_negatives(session, image_ids)
    detected: dict[int, list[list[float]]] = defaultdict(list)
    for box in score_store.boxes_on(session, version_id, list(judged)):
        detected[box.image_id].append([box.x1, box.y1, box.x2, box.y2])
    return {image_id: _divide(boxes, detected[image_id]) for image_id, boxes in judged.items()}


def _divide(judged: Sequence[BoxJudgement], detected: Sequence[Sequence[float]]) -> FrozenBoxes:
    corners = [[box.x1, box.y1, box.x2, box.y2] for box in judged]
    overlaps = pairwise_iou(_array(detected), _array(corners)).max(axis=1)
    unjudged = [
        list(box) for box, overlap in zip(detected, overlaps, strict=True) if overlap < SAME_BOX_IOU
    ]
    objects = [box for box, judgement in zip(corners, judged, strict=True) if judgement.is_object]
    background = [
        box for box, judgement in zip(corners, judged, strict=True) if not judgement.is_object
    ]
    return FrozenBoxes(ignored=objects + unjudged, background=background)


def _array(boxes: Sequence[Sequence[float]]) -> FloatArray:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
