"""The rules of tests for true objects, and the last test as clients see it."""

from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.hold_test import (
    ComparedImage,
    HeldPage,
    HoldCounts,
    HoldTestReport,
    HoldTestRequest,
    SuspiciousImage,
)
from hardneg.schemas.images import Box, DetectionOut, Split
from hardneg.schemas.jobs import JobOut
from service.errors import ServiceError
from service.holding import nearest, store
from service.holding.job import HOLD_TEST
from service.images.views import image_out
from service.jobs.service import enqueue
from service.labelled_images import store as labelled_store
from service.model_versions import service as version_service
from service.tables import Detection, HoldTest, ModelVersion

SHOWN_SUSPICIOUS = 100


class NoLabelledObjects(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "no-labelled-objects"
    title = "No labelled objects"

    def __init__(self) -> None:
        super().__init__(
            "there is no labelled object to compare images with: first send images with boxes to "
            "POST /labelled-images, with split=train"
        )


class NotTested(ServiceError):
    status = HTTPStatus.NOT_FOUND
    slug = "not-tested"
    title = "Not tested"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"the images of version '{version}' were not tested for true objects yet: start a test "
            "with POST /hold-test"
        )


def queue_hold_test(session: Session, request: HoldTestRequest) -> JobOut:
    """
    Queue a test, with its version resolved.

    Raises ModelVersionNotFound, NoServingVersion, NoLabelledObjects.
    """
    version = version_service.named_or_serving(session, request.model_version)
    if not labelled_store.class_names_in(session, "train"):
        raise NoLabelledObjects
    resolved = request.model_copy(update={"model_version": str(version.id)})
    return enqueue(session, HOLD_TEST, resolved)


def show_hold_test(session: Session, model_version: str | None) -> HoldTestReport:
    """
    Return the last test of a version, by default of the serving one.

    Raises ModelVersionNotFound, NoServingVersion, NotTested.
    """
    version, test = _tested_version(session, model_version)
    counts = store.count_tested(session, version.id)
    suspicious = store.held_images(session, version.id, "negative-test", SHOWN_SUSPICIOUS)
    return HoldTestReport(
        model_version=version.name,
        tested_at=test.tested_at,
        is_trusted=test.is_trusted,
        reason=test.reason,
        num_objects=test.num_objects,
        num_presumed_negatives=test.num_presumed_negatives,
        pool=HoldCounts(**counts["pool"]._asdict()),
        sealed=HoldCounts(**counts["negative-test"]._asdict()),
        suspicious_sealed=[
            SuspiciousImage(
                decision=decision.decision,
                detection=_detection_out(version, detection),
                image=image_out(image),
            )
            for decision, image, detection in suspicious
        ],
    )


def list_held(
    session: Session,
    model_version: str | None,
    split: Split,
    *,
    num_nearest: int,
    offset: int,
    limit: int,
) -> HeldPage:
    """
    Return a page of the held images of a split, with the labelled boxes that they look like.

    Raises ModelVersionNotFound, NoServingVersion, NotTested.
    """
    version, test = _tested_version(session, model_version)
    rows = store.held_images(session, version.id, split, limit + 1, offset)
    shown = rows[:limit]
    detected = {image.id: found for _, image, found in shown if found is not None}
    boxes = nearest.nearest_boxes(session, test.network, detected, num_nearest)
    return HeldPage(
        model_version=version.name,
        num_held=store.count_tested(session, version.id)[split].held,
        items=[
            ComparedImage(
                decision=decision.decision,
                detection=_detection_out(version, detection),
                image=image_out(image),
                nearest=boxes.get(image.id, []),
            )
            for decision, image, detection in shown
        ],
        next_offset=offset + limit if len(rows) > limit else None,
    )


def _tested_version(session: Session, model_version: str | None) -> tuple[ModelVersion, HoldTest]:
    version = version_service.named_or_serving(session, model_version)
    test = store.find_test(session, version.id)
    if test is None:
        raise NotTested(version.name)
    return version, test


def _detection_out(version: ModelVersion, found: Detection | None) -> DetectionOut | None:
    if found is None:
        return None
    return DetectionOut(
        label=version.class_names[found.label - 1],
        score=found.score,
        box=Box(x1=found.x1, y1=found.y1, x2=found.x2, y2=found.y2),
    )
