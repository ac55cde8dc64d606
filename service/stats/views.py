"""Measurements as clients see them."""

import numpy as np

from hardneg.schemas.stats import (
    ClassFppi,
    FalseDetectionReport,
    Figures,
    FrocPoint,
    HistogramBin,
    IntervalOut,
    Iteration,
)
from models.evaluation.false_detections import ScoreHistogram
from models.evaluation.froc import Froc
from service.evaluation.measure import SealedMeasurement
from service.stats.store import VersionRow
from service.tables import ModelVersion

MAX_FROC_POINTS = 200


def false_detection_report(
    version: ModelVersion, measured: SealedMeasurement, *, num_sealed: int
) -> FalseDetectionReport:
    """Return the report on one version; `num_sealed` counts all images of negative-test."""
    stats = measured.stats
    # The version's own classes come first; those that it does not know have no detections.
    by_class = zip(version.class_names, stats.fppi_by_class, strict=False)
    return FalseDetectionReport(
        model_version=version.name,
        threshold=stats.threshold,
        num_images=stats.num_images,
        num_unscored=num_sealed - stats.num_images,
        false_detections=IntervalOut.of(stats.num_false_detections),
        fppi=IntervalOut.of(stats.fppi),
        share_of_images=IntervalOut.of(stats.share_of_images),
        by_class=[ClassFppi(label=name, fppi=IntervalOut.of(fppi)) for name, fppi in by_class],
        histogram=_histogram(measured.histogram),
        froc=_froc_points(measured.froc) if measured.froc else [],
    )


def _histogram(histogram: ScoreHistogram) -> list[HistogramBin]:
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


def _froc_points(curve: Froc) -> list[FrocPoint]:
    """Return points spread evenly over a curve, with its ends; at most `MAX_FROC_POINTS`."""
    if not len(curve.thresholds):
        return []
    count = min(MAX_FROC_POINTS, len(curve.thresholds))
    chosen = np.unique(np.linspace(0, len(curve.thresholds) - 1, count).round().astype(int))
    return [
        FrocPoint(
            threshold=float(curve.thresholds[index]),
            recall=float(curve.recall[index]),
            fppi=float(curve.fppi[index]),
        )
        for index in chosen
    ]


def iteration(row: VersionRow, roles: dict[str, int], *, is_serving: bool) -> Iteration:
    """Return a version as a point of the two curves; `roles` counts its run's images by role."""
    version, evaluation, run = row
    return Iteration(
        model_version_id=version.id,
        model_version=version.name,
        parent_version_id=run.parent_version_id if run else version.parent_id,
        is_serving=is_serving,
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
