"""The figures of a version: measured from its stored detections, and kept with it."""

import numpy as np
from sqlalchemy.orm import Session

from hardneg.schemas.stats import ComparisonOut, FalseDetectionFigures, Figures, IntervalOut, finite
from models.evaluation.average_precision import bootstrap_ap
from models.evaluation.evaluate import Comparison, Evaluation, compare
from models.evaluation.false_detections import false_detection_stats
from service.evaluation import store
from service.evaluation.measure import evaluation_of, images_scored_by
from service.model_versions import store as version_store
from service.tables import ModelVersion

KEPT_THRESHOLDS = (0.3, 0.5)
DEFAULT_THRESHOLD = 0.5  # operating threshold of a version without a parent


def figures_of(session: Session, version: ModelVersion) -> Figures:
    """Measure a version on all images of val and negative-test that it has scored."""
    return _figures(evaluation_of(session, version, images_scored_by(session, [version.id])))


def find_figures(session: Session, version_id: int) -> Figures | None:
    """Return the figures that a version had when it was last measured."""
    row = version_store.find_evaluation(session, version_id)
    return Figures.model_validate(row.figures) if row else None


def save_figures(session: Session, version_id: int, figures: Figures) -> None:
    """Keep the figures of a version, in place of its earlier ones."""
    store.save_evaluation(session, version_id, figures.model_dump(mode="json"))


def compare_versions(
    session: Session, version: ModelVersion, other: ModelVersion
) -> ComparisonOut | None:
    """
    Compare two versions on the images that both have scored, at the other's operating threshold.

    Returns None where a comparison would say nothing: without sealed images, without objects on
    val of which `other` finds at least one, or between different classes.
    """
    if version.class_names != other.class_names:
        return None
    images = images_scored_by(session, [version.id, other.id])
    found = evaluation_of(session, version, images)
    found_by_other = evaluation_of(session, other, images)
    if not images.negative_ids or not _num_objects(found_by_other):
        return None
    threshold = operating_threshold(session, other.id)
    if found_by_other.recall(threshold).value == 0:
        return None
    return _comparison_out(other.id, compare(found, found_by_other, threshold=threshold))


def compare_with_parent(
    session: Session, figures: Figures, version: ModelVersion, parent: ModelVersion
) -> Figures:
    """Return the figures with a comparison, and the threshold that keeps the parent's recall."""
    comparison = compare_versions(session, version, parent)
    kept = comparison.threshold if comparison else None
    return figures.model_copy(
        update={
            "comparison": comparison,
            "operating_threshold": DEFAULT_THRESHOLD if kept is None else kept,
        }
    )


def operating_threshold(session: Session, version_id: int) -> float:
    """Return the score threshold that a version was measured to need."""
    figures = find_figures(session, version_id)
    return figures.operating_threshold if figures else DEFAULT_THRESHOLD


def _comparison_out(version_id: int, comparison: Comparison) -> ComparisonOut:
    return ComparisonOut(
        model_version_id=version_id,
        recall=comparison.parent.recall.value,
        threshold=finite(comparison.candidate.threshold),
        fppi_before=IntervalOut.of(comparison.parent.fppi),
        fppi=IntervalOut.of(comparison.candidate.fppi),
        lowest_recall=comparison.around.lowest_recall,
        highest_recall=comparison.around.highest_recall,
        mean_fppi_before=IntervalOut.of(comparison.around.parent),
        mean_fppi=IntervalOut.of(comparison.around.candidate),
        mean_fppi_difference=IntervalOut.of(comparison.around.difference),
        ap50_95_difference=IntervalOut.of(comparison.ap50_95_difference),
    )


def _figures(evaluation: Evaluation) -> Figures:
    has_objects = _num_objects(evaluation) > 0
    precision = evaluation.average_precision if has_objects else None
    return Figures(
        num_val_images=len(evaluation.truths),
        num_objects=_num_objects(evaluation),
        num_negative_images=len(evaluation.negatives),
        ap50_95=IntervalOut.of(bootstrap_ap(evaluation.matches, seed=0)) if has_objects else None,
        ap50=finite(precision.ap50) if precision else None,
        recall=IntervalOut.of(evaluation.recall(DEFAULT_THRESHOLD)) if has_objects else None,
        false_detections=_false_detections(evaluation),
    )


def _false_detections(evaluation: Evaluation) -> list[FalseDetectionFigures]:
    if not evaluation.negatives:
        return []
    found = [
        false_detection_stats(evaluation.false_detections, threshold, evaluation.num_classes)
        for threshold in KEPT_THRESHOLDS
    ]
    return [
        FalseDetectionFigures(
            threshold=stats.threshold,
            false_detections=IntervalOut.of(stats.num_false_detections),
            fppi=IntervalOut.of(stats.fppi),
            share_of_images=IntervalOut.of(stats.share_of_images),
        )
        for stats in found
    ]


def _num_objects(evaluation: Evaluation) -> int:
    return int(np.sum([len(truth) for truth in evaluation.truths]))
