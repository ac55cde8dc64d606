"""The ranked list as an export."""

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy.orm import Session

from hardneg.schemas.hard_negatives import VerdictFilter
from service.blobs import BlobStore
from service.exports.export import ExportedZip, ExportOptions, start_export
from service.exports.images import (
    ExportedImage,
    ScoreByVersion,
    detected_boxes,
    exported_image,
    judged_objects,
)
from service.hard_negatives import service, store
from service.hard_negatives.collapsing import collapsed_images
from service.hard_negatives.cursor import Cursor
from service.hard_negatives.store import Filters, RankedImage, RankingVersion
from service.images import store as image_store
from service.scoring import store as score_store

PAGE_SIZE = 1000


def export_hard_negatives(
    session: Session,
    blobs: BlobStore,
    options: ExportOptions,
    *,
    n: int,
    model_version: str | None,
    min_score: float | None,
    max_score: float | None,
    label: str | None,
    source: str | None,
    verdict: VerdictFilter | None,
    trained: bool | None,
    held: bool | None,
    collapse: bool = False,
) -> ExportedZip:
    """
    Return a zip of the first `n` images of the list; the session is not needed after that.

    With `collapse`, of near-duplicates only the worst is in it.
    They are written down as images without objects. With `verdict` contains-object they are those
    on which a person has judged detections to be objects, with these boxes as their labels.

    Raises:
        ModelVersionNotFound, NoServingVersion, UnknownLabel: as for the list itself.
        ExportExtraMissing: a package that the format needs is not installed.
    """
    version = service.find_ranking_version(session, model_version)
    filters = service.resolve_filters(
        session,
        version,
        min_score=min_score,
        max_score=max_score,
        label=label,
        source=source,
        verdict=None if verdict is VerdictFilter.ANY else verdict,  # None: no object
        trained=trained,
        held=held,
    )
    images = _ranked_images(session, version, filters, n, collapse=collapse)
    class_names = list(version.class_names)
    if verdict is VerdictFilter.CONTAINS_OBJECT:
        judged_names = image_store.judged_class_names(session)
        class_names += [name for name in judged_names if name not in class_names]
        images = (judged for image in images if (judged := _with_judged_objects(image)))
    name = f"hard-negatives-{version.name}"
    return start_export(blobs, options, name, class_names, images)


def _ranked_images(
    session: Session, version: RankingVersion, filters: Filters, n: int, *, collapse: bool
) -> Iterator[ExportedImage]:
    """Yield the worst images in order, read page by page."""
    after: Cursor | None = None
    for first_rank in range(1, n + 1, PAGE_SIZE):
        size = min(PAGE_SIZE, n + 1 - first_rank)
        if collapse:
            page, _ = collapsed_images(session, version.id, filters, after, size)
        else:
            page = store.hardest_images(session, version.id, filters, after, size)
        yield from _with_boxes(session, version, page, first_rank)
        if len(page) < size:
            return
        last = page[-1]
        after = Cursor(version.id, last.ranking_key, last.id, first_rank + size - 1)


def _with_judged_objects(image: ExportedImage) -> ExportedImage | None:
    """Label an image with the boxes that a person judged to be objects; None without any."""
    objects = judged_objects(image.judged)
    return replace(image, role="judged", objects=objects) if objects else None


def _with_boxes(
    session: Session, version: RankingVersion, page: list[RankedImage], first_rank: int
) -> Iterator[ExportedImage]:
    image_ids = [row.id for row in page]
    images = image_store.find_by_ids(session, image_ids)
    judged = image_store.box_judgements_of(session, image_ids)
    found = score_store.boxes_on(session, version.id, image_ids)
    detections = detected_boxes(found, version.class_names)
    for rank, row in enumerate(page, first_rank):
        image = images[row.id]
        boxes = detections.get(row.id, ())
        score = ScoreByVersion(version.name, row.max_score, row.log_odds, boxes)
        yield exported_image(
            image, role="mined", rank=rank, score=score, judged=judged.get(row.id, ())
        )
    session.expunge_all()
