"""Bytes that are validated as an image, and stored with a row."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy.orm import Session

from models.data.images import (
    ImageTooLargeError,
    UnreadableImageError,
    decode_file,
    read_header,
)
from models.detectors import PreparedImage
from service.blobs import BlobStore, new_key
from service.db import Sessions
from service.images import store
from service.images.errors import EmptyFile, SplitConflict, TooManyPixels, refusal_of
from service.pixel_cache import PixelCache
from service.scoring.engine import LoadedVersion
from service.scoring.preparing import keep_new, original_size
from service.tables import Image

# Writes what else belongs to an image, in the transaction that adds or finds its row.
AlsoWrite = Callable[[Session, Image], None]


@dataclass(frozen=True, slots=True)
class ValidatedImage:
    """The bytes of a file that decode as an image, and what is known of them."""

    content: bytes
    sha256: str
    media_type: str
    width: int  # of the upright image, in pixels
    height: int
    prepared: PreparedImage | None  # for the version's detector; None without a version


@dataclass(frozen=True, slots=True)
class Destination:
    """
    The split and the source that images are stored under.

    `seal_fraction` of the images sent to the pool go to negative-test instead. Their digest
    chooses them: the same image falls on the same side, whoever sends it and when.
    """

    split: str
    source: str
    seal_fraction: float = 0.0

    def split_of(self, digest: str) -> str:
        """Return the split in which a new image with this digest is stored."""
        if self.split == "pool" and int(digest[:13], 16) / 16**13 < self.seal_fraction:
            return "negative-test"
        return self.split

    def accepts(self, image: Image) -> bool:
        """Return whether a known image may be sent here again."""
        was_sealed = self.seal_fraction > 0 and image.split == "negative-test"
        return image.split == self.split or (self.split == "pool" and was_sealed)

    def conflict(self, image: Image) -> SplitConflict:
        """Return the error for an image that is not accepted."""
        return SplitConflict(image.id, image.split, self.split)


def validate_image(
    content: bytes,
    max_pixels: int,
    version: LoadedVersion | None,
    pixels: PixelCache | None = None,
) -> ValidatedImage:
    """
    Check that bytes decode as an image, and prepare it for a version's detector.

    `pixels` is for an image that will be stored: they are kept there for rescans.

    Raises:
        EmptyFile, UnsupportedImage, UnreadableImage, DecodeFailed.
        TooManyPixels: by the header, before any pixel is decoded.
    """
    if not content:
        raise EmptyFile
    digest, prepared = sha256(content).hexdigest(), None
    try:
        if version is None:  # all the bytes, at the smallest size: nobody needs the pixels
            decoded = decode_file(content, lambda *_: (1, 1), max_pixels=max_pixels)
        else:
            detector = version.detector
            decoded = decode_file(content, detector.decode_size, max_pixels=max_pixels)
            prepared = detector.preprocess(decoded.pixels, original_size(decoded))
            if pixels is not None:
                keep_new(pixels, detector, digest, decoded, prepared)
    except ImageTooLargeError as error:
        header = read_header(content)
        raise TooManyPixels(header.width, header.height, max_pixels) from error
    except UnreadableImageError as error:
        raise refusal_of(error) from error
    return ValidatedImage(
        content=content,
        sha256=digest,
        media_type=decoded.header.media_type,
        width=decoded.header.width,
        height=decoded.header.height,
        prepared=prepared,
    )


def image_row(
    valid: ValidatedImage, file_name: str, destination: Destination, key: str
) -> dict[str, object]:
    """Return the columns of a new image whose bytes are stored under `key`."""
    return {
        "sha256": valid.sha256,
        "blob_key": key,
        "split": destination.split_of(valid.sha256),
        "source": destination.source,
        "file_name": file_name,
        "media_type": valid.media_type,
        "size_bytes": len(valid.content),
        "width": valid.width,
        "height": valid.height,
    }


def store_image(
    sessions: Sessions,
    blobs: BlobStore,
    valid: ValidatedImage,
    *,
    file_name: str,
    destination: Destination,
    also_write: AlsoWrite | None = None,
) -> tuple[Image, bool]:
    """
    Store one image without a score, and return its row and whether the row is new.

    `also_write` runs in the transaction that adds or finds the row: nobody sees the row without
    what it writes. Raises SplitConflict.
    """
    with sessions.begin() as session:
        known = store.find_by_digest(session, valid.sha256, lock=also_write is not None)
        if known is not None:
            if not destination.accepts(known):
                raise destination.conflict(known)
            if also_write is not None:
                also_write(session, known)
    if known is not None:
        if not blobs.exists(known.blob_key):  # lost: the same bytes are its remedy
            blobs.put(known.blob_key, valid.content)
        return known, False
    key = new_key("images", valid.sha256)
    blobs.put(key, valid.content)
    with sessions.begin() as session:
        added = store.add_image(session, image_row(valid, file_name, destination, key))
        if added is not None and also_write is not None:
            also_write(session, added)
    if added is not None:
        return added, True
    blobs.delete(key)  # another request stored the same bytes meanwhile, or deletes them now
    return store_image(
        sessions,
        blobs,
        valid,
        file_name=file_name,
        destination=destination,
        also_write=also_write,
    )
