"""What versions are worth, as clients ask for it."""

from dataclasses import replace
from http import HTTPStatus

import numpy as np
from sqlalchemy.orm import Session

from hardneg.schemas.stats import (
    ClassFppi,
    FalseDetectionReport,
    Figures,
    FrocPoint,
    HistogramBin,
    IntervalOut,
    Iteration,
    IterationPage,
)
from models.evaluation.evaluate import Evaluation
from models.evaluation.false_detections import (
    FalseDetections,
    false_detection_stats,
    score_histogram,
)
from models.evaluation.froc import froc
from service.errors import ServiceError
from service.evaluation.measure import evaluation_of, false_detections_of, images_scored_by
from service.model_versions import service as version_service
from service.scoring import store as score_store
from service.serving import store as serving_store
from service.serving.service import require_serving_version
from service.stats import store
from service.tables import ModelVersion, TrainingRun, VersionEvaluation
from service.training_runs import store as run_store

FROC_POINTS = 200


class NothingMeasured(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "nothing-measured"
    title = "Nothing to measure on"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version '{version}' has scored no image of negative-test: send sealed negatives with "
            "POST /images and split=negative-test, and wait until they are scored"
        )


class ThresholdTooLow(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "threshold-too-low"
    title = "Threshold too low"

    def __init__(self, version: str, lowest: float) -> None:
        super().__init__(
            f"version '{version}' keeps no detections below score {lowest:g}: ask for that or more"
        )


def report_false_detections(
    session: Session, model_version: str | None, threshold: float
) -> FalseDetectionReport:
    """Raises ModelVersionNotFound, NoServingVersion, NothingMeasured, ThresholdTooLow."""
    version = _version(session, model_version)
    lowest = _lowest_threshold(version)
    if threshold < lowest:
        raise ThresholdTooLow(version.name, lowest)
    images = images_scored_by(session, [version.id])
    if not images.negative_ids:
        raise NothingMeasured(version.name)
    found = false_detections_of(session, version, images)
    evaluation = evaluation_of(session, version, replace(images, negative_ids=[]))
    stats = false_detection_stats(found, threshold, evaluation.num_classes)
    by_class = zip(version.class_names, stats.fppi_by_class, strict=False)
    return FalseDetectionReport(
        model_version=version.name,
        threshold=threshold,
        num_images=found.num_images,
        num_unscored=score_store.count_images(session, "negative-test") - found.num_images,
        false_detections=IntervalOut.of(stats.num_false_detections),
        fppi=IntervalOut.of(stats.fppi),
        share_of_images=IntervalOut.of(stats.share_of_images),
        by_class=[ClassFppi(label=name, fppi=IntervalOut.of(fppi)) for name, fppi in by_class],
        histogram=_histogram(found),
        froc=_froc(evaluation, found),
    )


def list_iterations(session: Session, after_id: int, limit: int) -> IterationPage:
    """Versions in order of id."""
    rows = store.versions_with_runs(session, after_id, limit)
    serving = serving_store.serving_version(session)
    roles = run_store.count_roles(session, [run.id for _, _, run in rows if run is not None])
    return IterationPage(
        items=[
            _iteration(version, evaluation, run, roles.get(run.id, {}) if run else {}, serving)
            for version, evaluation, run in rows
        ],
        next_after_id=rows[-1][0].id if len(rows) == limit else None,
    )


def _iteration(
    version: ModelVersion,
    evaluation: VersionEvaluation | None,
    run: TrainingRun | None,
    roles: dict[str, int],
    serving: ModelVersion | None,
) -> Iteration:
    return Iteration(
        model_version_id=version.id,
        model_version=version.name,
        parent_version_id=run.parent_version_id if run else version.parent_id,
        is_serving=serving is not None and serving.id == version.id,
        job_id=run.job_id if run else None,
        iteration=run.iteration if run else None,
        strategy=str(run.params["strategy"]) if run else None,
        num_mined=roles.get("mined", 0),
        num_negatives=roles.get("mined", 0) + roles.get("kept", 0),
        decision=run.decision if run else None,
        reason=run.reason if run else None,
        figures=Figures.model_validate(evaluation.figures) if evaluation else None,
        evaluated_at=evaluation.evaluated_at if evaluation else None,
        created_at=version.created_at,
    )


def _version(session: Session, key: str | None) -> ModelVersion:
    if key is not None:
        return version_service.get_version(session, key)
    return require_serving_version(session)


def _lowest_threshold(version: ModelVersion) -> float:
    lowest = version.spec["score_threshold"]
    assert isinstance(lowest, float | int)
    return float(lowest)


def _histogram(found: FalseDetections) -> list[HistogramBin]:
    histogram = score_histogram(found)
    bins = zip(
        histogram.edges,
        histogram.edges[1:],
        histogram.num_images,
        histogram.share_of_images,
        strict=False,
    )
    return [
        HistogramBin(low=low, high=high, num_images=count, share_of_images=IntervalOut.of(share))
        for low, high, count, share in bins
    ]


def _froc(evaluation: Evaluation, negatives: FalseDetections) -> list[FrocPoint]:
    """At most so many points, evenly spread over the curve, its ends among them."""
    if not sum(len(truth) for truth in evaluation.truths):
        return []
    curve = froc(evaluation.matches, negatives)
    if not len(curve.thresholds):
        return []
    count = min(FROC_POINTS, len(curve.thresholds))
    chosen = np.unique(np.linspace(0, len(curve.thresholds) - 1, count).round().astype(int))
    return [
        FrocPoint(
            threshold=float(curve.thresholds[index]),
            recall=float(curve.recall[index]),
            fppi=float(curve.fppi[index]),
        )
        for index in chosen
    ]
