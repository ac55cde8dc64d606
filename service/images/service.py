"""The rules for stored images."""

from collections.abc import Iterator, Sequence

from sqlalchemy.orm import Session

from hardneg.schemas.images import AnySplit, ImageOut, ScoredImageOut, ScoreOut, Verdict
from models.data.images import thumbnail
from service.blobs import BlobStore
from service.db import Sessions
from service.images import store, views
from service.images.errors import ImageIsLabelled, ImageNotFound
from service.images.ingest import stored_scores
from service.images.storing import read_image
from service.scoring.resources import Resources
from service.scoring.results import wait_for_result
from service.serving import store as serving_store
from service.serving.service import loaded_version
from service.tables import Image


def get_image(session: Session, image_id: int, *, lock: bool = False) -> Image:
    """`lock` keeps others from changing it until the transaction ends. Raises ImageNotFound."""
    image = store.find_image(session, image_id, lock=lock)
    if image is None:
        raise ImageNotFound(image_id)
    return image


def show_image(sessions: Sessions, image_id: int) -> ScoredImageOut:
    """The image with its score by the version that serves. Raises ImageNotFound."""
    with sessions.begin() as session:
        image = get_image(session, image_id)
        version = serving_store.serving_version(session)
    scores = stored_scores(sessions, version.id, [image_id]) if version else {}
    return views.scored_image_out(image, scores.get(image_id, views.NOT_SCORED))


def list_images(
    session: Session, *, split: str | None, source: str | None, after_id: int, limit: int
) -> Sequence[Image]:
    """In order of id."""
    return store.list_images(session, split=split, source=source, after_id=after_id, limit=limit)


def image_content(
    session: Session, blobs: BlobStore, image_id: int
) -> tuple[Image, Iterator[bytes]]:
    """The bytes as they were uploaded. Raises ImageNotFound."""
    image = get_image(session, image_id)
    try:
        return image, blobs.stream(image.blob_key)
    except FileNotFoundError as error:  # deleted between the two steps
        raise ImageNotFound(image_id) from error


def image_thumbnail(session: Session, blobs: BlobStore, image_id: int, max_side: int) -> bytes:
    """A JPEG of at most `max_side` pixels each way, made anew from pixels. Raises ImageNotFound."""
    image = get_image(session, image_id)
    try:
        content = blobs.get(image.blob_key)
    except FileNotFoundError as error:
        raise ImageNotFound(image_id) from error
    return thumbnail(content, max_side, max_pixels=image.width * image.height)


def judge_image(session: Session, image_id: int, verdict: Verdict | None) -> ImageOut:
    """Keep a person's word on an image without labels. Raises ImageNotFound, ImageIsLabelled."""
    image = get_image(session, image_id, lock=True)
    if image.split in (AnySplit.TRAIN, AnySplit.VAL):
        raise ImageIsLabelled(image_id, image.split)
    image.verdict = verdict
    return views.image_out(image)


def delete_image(sessions: Sessions, blobs: BlobStore, image_id: int) -> None:
    """Row, scores and rank first, then the bytes. Raises ImageNotFound."""
    with sessions.begin() as session:
        image = get_image(session, image_id, lock=True)
        session.delete(image)
    blobs.delete(image.blob_key)


def score_bytes(resources: Resources, content: bytes) -> ScoreOut:
    """
    Score one image that is not kept.

    Raises NoServingVersion, VersionNotLoaded, and the errors of `read_image`.
    """
    scorer, max_pixels = resources.scorer, resources.settings.max_pixels
    version = loaded_version(resources)
    (read,) = scorer.map_decode(lambda data: read_image(data, max_pixels, version), [content])
    prepared = read.result().prepared
    assert prepared is not None
    result = wait_for_result(scorer.submit(version, prepared))
    return views.fresh_score(version, result)
