"""From stored boxes to what a version is worth; nothing is computed by a detector here."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sqlalchemy.orm import Session

from models.detectors.detections import Detections
from models.evaluation.evaluate import Evaluation
from models.evaluation.false_detections import FalseDetections
from service.evaluation import store
from service.labelled_images.ground_truth import ground_truth
from service.labelled_images.store import boxes_in
from service.tables import Detection, ModelVersion


@dataclass(frozen=True, slots=True)
class MeasuredImages:
    """Images of val and negative-test that some versions have all scored, in order of id."""

    val_ids: list[int]
    negative_ids: list[int]


def images_scored_by(session: Session, version_ids: Sequence[int]) -> MeasuredImages:
    """
    What these versions can be measured on together.

    Images that failed in one of them are left out, and sealed images that a person has found to
    hold an object.
    """
    return MeasuredImages(
        val_ids=store.scored_ids(session, "val", version_ids),
        negative_ids=store.scored_ids(session, "negative-test", version_ids),
    )


def evaluation_of(session: Session, version: ModelVersion, images: MeasuredImages) -> Evaluation:
    """What a version found on val and negative-test, against what is there."""
    boxes = boxes_in(session, "val")
    asked = (("val", images.val_ids), ("negative-test", images.negative_ids))
    found = store.detections_in(session, version.id, [split for split, ids in asked if ids])
    unknown = {box.class_name for rows in boxes.values() for box in rows} - {*version.class_names}
    class_names = [*version.class_names, *sorted(unknown)]
    return Evaluation(
        num_classes=len(class_names),
        truths=tuple(ground_truth(boxes.get(id_, []), class_names) for id_ in images.val_ids),
        labelled=tuple(_detections(found.get(id_, [])) for id_ in images.val_ids),
        negatives=tuple(_detections(found.get(id_, [])) for id_ in images.negative_ids),
    )


def false_detections_of(
    session: Session, version: ModelVersion, images: MeasuredImages
) -> FalseDetections:
    """
    What a version found on negative-test, without the boxes.

    Raises ValueError if there are no such images.
    """
    rows = store.classes_found_in(session, version.id, "negative-test")
    negative_ids = np.array(images.negative_ids, dtype=np.int64)
    ids = np.array([row.image_id for row in rows], dtype=np.int64)
    is_measured = np.isin(ids, negative_ids)
    return FalseDetections(
        scores=np.array([row.score for row in rows], dtype=np.float64)[is_measured],
        labels=np.array([row.label for row in rows], dtype=np.int64)[is_measured],
        images=np.searchsorted(negative_ids, ids[is_measured]),
        num_images=len(negative_ids),
    )


def _detections(rows: Sequence[Detection]) -> Detections:
    return Detections(
        torch.tensor([[d.x1, d.y1, d.x2, d.y2] for d in rows]).reshape(-1, 4),
        torch.tensor([d.score for d in rows]),
        torch.tensor([d.label for d in rows], dtype=torch.int64),
    )
