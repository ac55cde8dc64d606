"""Measurement of a version from its stored detections; no detector runs here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from sqlalchemy.orm import Session

from models.detectors.detections import Detections
from models.evaluation.evaluate import Evaluation
from models.evaluation.false_detections import (
    FalseDetections,
    FalseDetectionStats,
    ScoreHistogram,
    false_detection_stats,
    score_histogram,
)
from models.evaluation.froc import Froc, froc
from service.evaluation import store
from service.labelled_images.ground_truth import ground_truth
from service.labelled_images.store import boxes_in
from service.tables import Detection, ModelVersion


@dataclass(frozen=True, slots=True)
class MeasuredImages:
    """Ids of the images of val and negative-test that all of some versions have scored, sorted."""

    val_ids: list[int]
    negative_ids: list[int]


def images_scored_by(session: Session, version_ids: Sequence[int]) -> MeasuredImages:
    """
    Return the images that these versions can be measured on together.

    Images on which one of them failed are left out, and so are sealed images that a person has
    judged to contain an object.
    """
    return MeasuredImages(
        val_ids=store.scored_ids(session, "val", version_ids),
        negative_ids=store.scored_ids(session, "negative-test", version_ids),
    )


def evaluation_of(session: Session, version: ModelVersion, images: MeasuredImages) -> Evaluation:
    """
    Match what a version found on these images with the objects that they show.

    Classes of val that the version does not know count as classes in which it finds nothing.
    """
    boxes = boxes_in(session, "val")
    ids_of = {"val": images.val_ids, "negative-test": images.negative_ids}
    found = store.detections_in(
        session, version.id, [split for split, ids in ids_of.items() if ids]
    )
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
    Return the detections of a version on the sealed images, without their boxes.

    Raises:
        ValueError: `images` has no sealed ones.
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


@dataclass(frozen=True, slots=True)
class SealedMeasurement:
    """
    What a version finds on the sealed images, all of it false.

    Attributes:
        stats: counts at one score threshold.
        histogram: of each image's highest score.
        froc: recall on val against false detections per image; None without objects on val.
    """

    stats: FalseDetectionStats
    histogram: ScoreHistogram
    froc: Froc | None


def measure_sealed(
    session: Session, version: ModelVersion, images: MeasuredImages, threshold: float
) -> SealedMeasurement:
    """Measure a version's false detections at a score threshold, and at all of them by FROC."""
    found = false_detections_of(session, version, images)
    on_val = evaluation_of(session, version, replace(images, negative_ids=[]))
    has_objects = any(len(truth) for truth in on_val.truths)
    return SealedMeasurement(
        stats=false_detection_stats(found, threshold, on_val.num_classes),
        histogram=score_histogram(found),
        froc=froc(on_val.matches, found) if has_objects else None,
    )


def _detections(rows: Sequence[Detection]) -> Detections:
    return Detections(
        torch.tensor([[d.x1, d.y1, d.x2, d.y2] for d in rows]).reshape(-1, 4),
        torch.tensor([d.score for d in rows]),
        torch.tensor([d.label for d in rows], dtype=torch.int64),
    )
