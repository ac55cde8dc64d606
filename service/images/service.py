"""The rules for stored images."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from sqlalchemy.orm import Session

from models.data.images import UnreadableImageError, thumbnail
from service.audit.store import record
from service.blobs import BlobStore
from service.images import store
from service.images.errors import ContentDamaged, ImageNotFound, refusal_of
from service.images.storing import validate_image
from service.model_versions import service as version_service
from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.scoring.results import ScoreResult, wait_for_result
from service.serving import store as serving_store
from service.serving.service import loaded_version
from service.tables import BoxJudgement, Image, ModelVersion

MAX_CHECKED_BYTES = 32 * 1024**2  # about 20 ms to check


class BreaksOff(Exception):
    """An answer that has begun must not be completed: the server closes the connection."""


def get_image(session: Session, image_id: int, *, lock: bool = False) -> Image:
    """
    Return an image; with `lock`, nobody else changes its row in this transaction.

    Raises ImageNotFound.
    """
    image = store.find_image(session, image_id, lock=lock)
    if image is None:
        raise ImageNotFound(image_id)
    return image


def show_image(
    session: Session, image_id: int, model_version: str | None = None
) -> tuple[Image, ModelVersion | None, ScoreResult | None, Sequence[BoxJudgement]]:
    """
    Return an image, a version, its score of the image, and the judged boxes.

    Without a name or id it is the serving version, if one serves.

    Raises ImageNotFound, ModelVersionNotFound.
    """
    image = get_image(session, image_id)
    version = (
        serving_store.serving_version(session)
        if model_version is None
        else version_service.get_version(session, model_version)
    )
    scores = store.find_scores(session, version.id, [image_id]) if version is not None else {}
    return image, version, scores.get(image_id), store.box_judgements(session, image_id)


def list_images(
    session: Session, *, split: str | None, source: str | None, after_id: int, limit: int
) -> Sequence[Image]:
    """Return images in order of id."""
    return store.list_images(session, split=split, source=source, after_id=after_id, limit=limit)


def image_content(
    session: Session, blobs: BlobStore, image_id: int
) -> tuple[Image, Iterator[bytes]]:
    """
    Return an image and its bytes as they were uploaded.

    The bytes are checked before the first of them is returned, unless there are too many; then the
    last piece comes only if all are right, so that a receiver never takes damaged bytes for whole.

    Raises ImageNotFound, ContentDamaged; the iterator raises BreaksOff.
    """
    image = get_image(session, image_id)
    try:
        if image.size_bytes > MAX_CHECKED_BYTES:
            return image, _checked(blobs.stream(image.blob_key), image)
        content = blobs.get(image.blob_key)
    except FileNotFoundError as error:  # deleted since its row was read, or lost
        raise ImageNotFound(image_id) from error
    if sha256(content).hexdigest() != image.sha256:
        raise ContentDamaged(image_id)
    return image, iter([content])


def _checked(pieces: Iterator[bytes], image: Image) -> Iterator[bytes]:
    digest, held_back = sha256(), b""
    for piece in pieces:
        digest.update(piece)
        if held_back:
            yield held_back
        held_back = piece
    if digest.hexdigest() != image.sha256:
        raise BreaksOff(f"the bytes of image {image.id} are damaged")
    yield held_back


def image_thumbnail(resources: Resources, image_id: int, max_side: int) -> bytes:
    """
    Return an image as a JPEG with sides of at most `max_side`, made once for the usual sizes.

    Raises ImageNotFound, and DecodeFailed for an image that was stored under other limits.
    """
    with resources.read_sessions.begin() as session:
        image = get_image(session, image_id)
    content = resources.thumbnails.find(image.sha256, max_side)
    if content is None:
        content = _encode_thumbnail(resources.blobs, image, max_side)
        resources.thumbnails.keep(image.sha256, max_side, content)
    return content


def _encode_thumbnail(blobs: BlobStore, image: Image, max_side: int) -> bytes:
    try:
        content = blobs.get(image.blob_key)
    except FileNotFoundError as error:
        raise ImageNotFound(image.id) from error
    try:
        return thumbnail(content, max_side, max_pixels=image.width * image.height)
    except UnreadableImageError as error:
        raise refusal_of(error) from error


def delete_image(resources: Resources, image_id: int) -> None:
    """
    Delete an image's row, scores and rank, then its bytes, pixels and thumbnails.

    Raises ImageNotFound.
    """
    with resources.sessions.begin() as session:
        image = get_image(session, image_id, lock=True)
        session.delete(image)
        kept = {name: getattr(image, name) for name in ("sha256", "split", "source", "file_name")}
        record(session, "delete-image", f"image {image_id}", before=kept)
    resources.thumbnails.delete(image.sha256)
    resources.pixels.delete(image.sha256)
    resources.blobs.delete(image.blob_key)


def score_bytes(resources: Resources, content: bytes) -> tuple[LoadedVersion, ScoreResult]:
    """
    Score one image without storing it, and return the version that scored it.

    Raises NoServingVersion, VersionNotLoaded, and the errors of `validate_image`.
    """
    scorer, max_pixels = resources.scorer, resources.settings.max_pixels
    version = loaded_version(resources)
    (valid,) = scorer.map_decode(lambda data: validate_image(data, max_pixels, version), [content])
    prepared = valid.result().prepared
    assert prepared is not None
    result = wait_for_result(scorer.submit(version, prepared))
    return version, result
