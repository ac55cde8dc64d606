"""Bytes proved to be an image, made durable, then a row."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy.orm import Session

from models.data.images import UnreadableImageError, UnsupportedImageError, decode, read_header
from models.detectors import PreparedImage
from models.inference.predict import prepare
from service.blobs import BlobStore, new_key
from service.db import Sessions
from service.images import store
from service.images.errors import (
    EmptyFile,
    SplitConflict,
    TooManyPixels,
    UnreadableImage,
    UnsupportedImage,
)
from service.scoring.engine import LoadedVersion
from service.tables import Image


@dataclass(frozen=True, slots=True)
class ReadImage:
    """Bytes that are proved to be an image."""

    content: bytes
    sha256: str
    media_type: str
    width: int
    height: int
    prepared: PreparedImage | None  # None where no version serves


@dataclass(frozen=True, slots=True)
class Purpose:
    """
    What images are stored for.

    `seal_fraction` of the pool's images go into negative-test instead, chosen by their digest: so
    the same image always falls on the same side, whoever sends it and when.
    """

    split: str
    source: str
    seal_fraction: float = 0.0

    def split_of(self, digest: str) -> str:
        if self.split == "pool" and int(digest[:13], 16) / 16**13 < self.seal_fraction:
            return "negative-test"
        return self.split

    def takes(self, image: Image) -> bool:
        """Whether an image that is known already may be sent for this again."""
        sealed_before = self.seal_fraction > 0 and image.split == "negative-test"
        return image.split == self.split or (self.split == "pool" and sealed_before)

    def conflict(self, image: Image) -> SplitConflict:
        """Why it does not take an image."""
        return SplitConflict(image.id, image.split, self.split)


def read_image(content: bytes, max_pixels: int, version: LoadedVersion | None) -> ReadImage:
    """
    Prove that bytes are an image, and prepare it for a version's detector.

    Raises:
        EmptyFile, UnsupportedImage, TooManyPixels (from the header, before any pixel is
        decoded), UnreadableImage.
    """
    if not content:
        raise EmptyFile
    try:
        header = read_header(content)
        if header.width * header.height > max_pixels:
            raise TooManyPixels(header.width, header.height, max_pixels)
        prepared = None
        if version is None:  # to its end, but at the smallest size: a proof is all that is wanted
            decode(content, max_pixels=max_pixels, enough=(1, 1))
        else:
            prepared = prepare(version.detector, content, max_pixels=max_pixels)
    except UnsupportedImageError as error:
        raise UnsupportedImage(str(error)) from error
    except UnreadableImageError as error:
        raise UnreadableImage(str(error)) from error
    return ReadImage(
        content=content,
        sha256=sha256(content).hexdigest(),
        media_type=header.media_type,
        width=header.width,
        height=header.height,
        prepared=prepared,
    )


def store_image(
    sessions: Sessions,
    blobs: BlobStore,
    read: ReadImage,
    *,
    file_name: str,
    purpose: Purpose,
    describe: Callable[[Session, Image], None] | None = None,
) -> tuple[Image, bool]:
    """
    The row of these bytes, and whether it is new. Raises SplitConflict.

    `describe` writes what else is known of the image, in the transaction that adds its row or
    finds it: nobody sees the one without the other.
    """
    with sessions.begin() as session:
        known = store.find_by_digest(session, read.sha256, lock=describe is not None)
        if known is not None:
            return _known(session, known, purpose, describe), False
    key = new_key("images", read.sha256)
    blobs.put(key, read.content)
    with sessions.begin() as session:
        added = store.add_image(session, image_row(read, file_name, purpose, key))
        if added is not None and describe is not None:
            describe(session, added)
    if added is not None:
        return added, True
    blobs.delete(key)  # another request stored the same bytes meanwhile, or deletes them now
    return store_image(
        sessions, blobs, read, file_name=file_name, purpose=purpose, describe=describe
    )


def _known(
    session: Session,
    image: Image,
    purpose: Purpose,
    describe: Callable[[Session, Image], None] | None,
) -> Image:
    if not purpose.takes(image):
        raise purpose.conflict(image)
    if describe is not None:
        describe(session, image)
    return image


def image_row(read: ReadImage, file_name: str, purpose: Purpose, key: str) -> dict[str, object]:
    """The columns of an image whose bytes are stored under `key`."""
    return {
        "sha256": read.sha256,
        "blob_key": key,
        "split": purpose.split_of(read.sha256),
        "source": purpose.source,
        "file_name": file_name,
        "media_type": read.media_type,
        "size_bytes": len(read.content),
        "width": read.width,
        "height": read.height,
    }
