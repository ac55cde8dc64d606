"""The rules of a comparison of two versions, image by image."""

from collections.abc import Sequence
from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.firing import ComparedScore, FiringChange, FiringImage, FiringReport
from hardneg.schemas.images import Split
from service.errors import ServiceError
from service.evaluation.figures import operating_threshold
from service.images.views import detections_by_image, image_out
from service.model_versions import service as version_service
from service.scoring import store as score_store
from service.scoring.splits import min_score_of
from service.settings import Settings
from service.stats import firing
from service.stats.firing import FiringRow, FiringVersion
from service.stats.service import ThresholdTooLow, lowest_threshold
from service.tables import ModelVersion
from service.training_runs import store as run_store


class NothingToCompare(ServiceError):
    """A version has no parent version, and none is named to compare it with."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "nothing-to-compare"
    title = "Nothing to compare with"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version '{version}' has no parent version: name the version to compare it with in "
            "'before'"
        )


def report_firing(
    session: Session,
    settings: Settings,
    *,
    model_version: str | None,
    before: str | None,
    split: Split,
    change: FiringChange,
    threshold: float | None,
    threshold_before: float | None,
    offset: int,
    limit: int,
) -> FiringReport:
    """
    Compare a version, by default the serving one, with another, by default its parent version.

    Raises ModelVersionNotFound, NoServingVersion, NothingToCompare, ThresholdTooLow.
    """
    version = version_service.named_or_serving(session, model_version)
    other = _version_before(session, version, before)
    floor = min_score_of(split, settings)
    now = FiringVersion(version, _threshold(session, version, threshold, floor))
    then = FiringVersion(other, _threshold(session, other, threshold_before, floor))
    counts = firing.count_firing(session, then, now, split)
    rows = firing.firing_images(session, then, now, split, change, offset=offset, limit=limit + 1)
    return FiringReport(
        before=other.name,
        model_version=version.name,
        threshold_before=then.threshold,
        threshold=now.threshold,
        split=split,
        **counts._asdict(),
        items=_items(session, other, version, rows[:limit]),
        next_offset=offset + limit if len(rows) > limit else None,
    )


def _version_before(session: Session, version: ModelVersion, key: str | None) -> ModelVersion:
    if key is not None:
        return version_service.get_version(session, key)
    if version.parent_id is None:
        raise NothingToCompare(version.name)
    return version_service.get_version(session, str(version.parent_id))


def _threshold(
    session: Session, version: ModelVersion, wanted: float | None, floor: float
) -> float:
    """Return a threshold at which all detections are stored. Raises ThresholdTooLow."""
    lowest = max(lowest_threshold(version), floor)
    if wanted is None:
        return max(operating_threshold(session, version.id), lowest)
    if wanted < lowest:
        raise ThresholdTooLow(version.name, lowest)
    return wanted


def _items(
    session: Session, before: ModelVersion, now: ModelVersion, rows: Sequence[FiringRow]
) -> list[FiringImage]:
    image_ids = [row.image.id for row in rows]
    found_before, found_now = (
        detections_by_image(
            score_store.boxes_on(session, version.id, image_ids), version.class_names
        )
        for version in (before, now)
    )
    trained = run_store.trained_images(session, now.id, image_ids)
    return [
        FiringImage(
            before=ComparedScore(
                max_score=row.max_score_before, detections=found_before[row.image.id]
            ),
            now=ComparedScore(max_score=row.max_score, detections=found_now[row.image.id]),
            is_trained=row.image.id in trained,
            image=image_out(row.image),
        )
        for row in rows
    ]
