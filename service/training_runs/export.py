"""A frozen list as an export, for a trainer elsewhere."""

from collections.abc import Iterator, Sequence

from sqlalchemy.orm import Session

from hardneg.schemas.exports import ExportContent
from hardneg.schemas.images import AnySplit, Verdict
from service.blobs import BlobStore
from service.exports.export import ExportedZip, ExportOptions, start_export
from service.exports.images import (
    ExportedImage,
    ScoreByVersion,
    detected_boxes,
    exported_image,
    labelled_objects,
)
from service.images import store as image_store
from service.labelled_images import store as labelled_store
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.tables import Image, ModelVersion, TrainingRunImage
from service.training_runs import store
from service.training_runs.service import get_run

PAGE_SIZE = 1000

Line = tuple[TrainingRunImage, Image]


def export_run(
    session: Session,
    blobs: BlobStore,
    options: ExportOptions,
    run_id: int,
    content: ExportContent,
) -> ExportedZip:
    """
    Return a zip of a run's frozen list; the session is not needed after that.

    Images that were deleted since, or judged to contain an object, are left out. Boxes are those of
    today. The classes keep the order of the parent version.

    Raises:
        TrainingRunNotFound: there is no such run.
        ExportExtraMissing: a package that the format needs is not installed.
    """
    run = get_run(session, run_id)
    parent = None
    if run.parent_version_id is not None:
        parent = version_store.find_version(session, run.parent_version_id)
    class_names = _class_names(session, parent)
    images = _frozen_images(session, run_id, content, parent)
    return start_export(blobs, options, f"training-run-{run_id}-{content}", class_names, images)


def _class_names(session: Session, parent: ModelVersion | None) -> list[str]:
    """Return the parent version's classes in label order, then those of other labelled boxes."""
    known = list(parent.class_names) if parent is not None else []
    labelled = labelled_store.class_names_in(session, "train")
    return known + [name for name in labelled if name not in known]


def _frozen_images(
    session: Session, run_id: int, content: ExportContent, parent: ModelVersion | None
) -> Iterator[ExportedImage]:
    """Yield the images of a frozen list in order of id, read page by page."""
    after_id = 0
    roles = ("mined",) if content is ExportContent.DELTA else None
    while lines := store.frozen_page(
        session, run_id, roles=roles, after_id=after_id, limit=PAGE_SIZE
    ):
        after_id = lines[-1][0].image_id
        yield from _exported(session, [line for line in lines if _may_leave(*line)], parent)
        session.expunge_all()


def _may_leave(line: TrainingRunImage, image: Image) -> bool:
    if line.role == "labelled":
        return image.split == AnySplit.TRAIN
    return image.split == AnySplit.POOL and image.verdict != Verdict.CONTAINS_OBJECT


def _exported(
    session: Session, lines: Sequence[Line], parent: ModelVersion | None
) -> Iterator[ExportedImage]:
    image_ids = [image.id for _, image in lines]
    boxes = labelled_store.boxes_of(session, image_ids)
    judged = image_store.box_judgements_of(session, image_ids)
    scores = _scores(session, parent, image_ids)
    for line, image in lines:
        yield exported_image(
            image,
            role=line.role,
            score=scores.get(image.id),
            objects=labelled_objects(boxes[image.id]),
            judged=judged.get(image.id, ()),
        )


def _scores(
    session: Session, version: ModelVersion | None, image_ids: Sequence[int]
) -> dict[int, ScoreByVersion]:
    """Return what a version says about images; those that it has not scored are absent."""
    if version is None:
        return {}
    scores = score_store.find_scores(session, version.id, image_ids)
    found = score_store.boxes_on(session, version.id, image_ids)
    detections = detected_boxes(found, version.class_names)
    return {
        image_id: ScoreByVersion(
            version.name,
            score.max_score,
            score.log_odds,
            detections.get(image_id, ()),
        )
        for image_id, score in scores.items()
    }
