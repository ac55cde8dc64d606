"""The rules of reports on versions."""

from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.stats import FalseDetectionReport, IterationPage
from service.errors import ServiceError
from service.evaluation.measure import images_scored_by, measure_sealed
from service.model_versions import service as version_service
from service.scoring import store as score_store
from service.serving import store as serving_store
from service.stats import store, views
from service.tables import ModelVersion
from service.training_runs import store as run_store


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
            f"version '{version}' keeps no detections below score {lowest:g}: set 'threshold' to "
            "that score or higher"
        )


def report_false_detections(
    session: Session, model_version: str | None, threshold: float
) -> FalseDetectionReport:
    """
    Report what a version, by default the serving one, finds on the sealed negatives.

    Raises ModelVersionNotFound, NoServingVersion, NothingMeasured, ThresholdTooLow.
    """
    version = version_service.named_or_serving(session, model_version)
    lowest = lowest_threshold(version)
    if threshold < lowest:
        raise ThresholdTooLow(version.name, lowest)
    images = images_scored_by(session, [version.id])
    if not images.negative_ids:
        raise NothingMeasured(version.name)
    measured = measure_sealed(session, version, images, threshold)
    num_sealed = score_store.count_images(session, "negative-test")
    return views.false_detection_report(version, measured, num_sealed=num_sealed)


def list_iterations(session: Session, after_id: int, limit: int) -> IterationPage:
    """Return a page of versions with their figures, in order of id."""
    rows = store.versions_with_runs(session, after_id, limit)
    serving = serving_store.serving_version(session)
    serving_id = serving.id if serving else None
    roles = run_store.count_roles(session, [row.run.id for row in rows if row.run is not None])
    return IterationPage(
        items=[
            views.iteration(
                row,
                roles.get(row.run.id, {}) if row.run else {},
                is_serving=row.version.id == serving_id,
            )
            for row in rows
        ],
        next_after_id=rows[-1].version.id if len(rows) == limit else None,
    )


def lowest_threshold(version: ModelVersion) -> float:
    """Return the score below which a version keeps no detections of sealed images."""
    lowest = version.spec["score_threshold"]
    assert isinstance(lowest, float | int)
    return float(lowest)
