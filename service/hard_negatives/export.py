"""The ranked list as an export."""

from collections.abc import Iterator
from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.hard_negatives import VerdictFilter
from service.blobs import BlobStore
from service.errors import ServiceError
from service.exports.export import ExportedZip, ExportOptions, start_export
from service.exports.images import ExportedImage, ScoreByVersion, detected_boxes, exported_image
from service.hard_negatives import service, store
from service.hard_negatives.cursor import Cursor
from service.hard_negatives.store import Filters, RankedImage, RankingVersion
from service.images import store as image_store
from service.scoring import store as score_store

PAGE_SIZE = 1000


class NotNegative(ServiceError):
    """An export of images that contain an object was asked for."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "not-negative"
    title = "Not negative"

    def __init__(self) -> None:
        super().__init__(
            "images that were judged to contain an object are never exported as negatives: draw "
            "their boxes, and send them to POST /labelled-images"
        )


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
) -> ExportedZip:
    """
    Return a zip of the first `n` images of the list; the session is not needed after that.

    Raises:
        NotNegative: images that contain an object were asked for.
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
        verdict=_negative_verdict(verdict),
        trained=trained,
        held=held,
    )
    images = _ranked_images(session, version, filters, n)
    name = f"hard-negatives-{version.name}"
    return start_export(blobs, options, name, version.class_names, images)


def _negative_verdict(verdict: VerdictFilter | None) -> VerdictFilter | None:
    """Return the filter without images that contain an object. Raises NotNegative."""
    if verdict is VerdictFilter.CONTAINS_OBJECT:
        raise NotNegative
    return None if verdict is VerdictFilter.ANY else verdict


def _ranked_images(
    session: Session, version: RankingVersion, filters: Filters, n: int
) -> Iterator[ExportedImage]:
    """Yield the worst images in order, read page by page."""
    after: Cursor | None = None
    for first_rank in range(1, n + 1, PAGE_SIZE):
        size = min(PAGE_SIZE, n + 1 - first_rank)
        page = store.hardest_images(session, version.id, filters, after, size)
        yield from _with_boxes(session, version, page, first_rank)
        if len(page) < size:
            return
        last = page[-1]
        after = Cursor(version.id, last.ranking_key, last.id, first_rank + size - 1)


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
