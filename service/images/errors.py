"""Errors of requests that send images or name them."""

from http import HTTPStatus

from models.data.images import DecodeFailedError, UnreadableImageError, UnsupportedImageError
from service.errors import ServiceError


class ImageNotFound(ServiceError):
    """No image has the requested id."""

    status = HTTPStatus.NOT_FOUND
    slug = "unknown-image"
    title = "Unknown image"

    def __init__(self, image_id: int) -> None:
        super().__init__(f"there is no image {image_id}: GET /images lists the stored ones")


class EmptyFile(ServiceError):
    """A file has no bytes."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "empty-file"
    title = "Empty file"

    def __init__(self) -> None:
        super().__init__("the file has no bytes")


class UnreadableImage(ServiceError):
    """The bytes of a supported format do not decode."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "unreadable-image"
    title = "Unreadable image"


class DecodeFailed(ServiceError):
    """Decoding an image takes too much time or memory, or ends the decoder."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "decode-failed"
    title = "Decoding failed"


class UnsupportedImage(ServiceError):
    """A file is not an image, or its format is not supported."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "unsupported-image"
    title = "Not an image of a supported format"


def refusal_of(error: UnreadableImageError) -> ServiceError:
    """Return what a client sees of an image that cannot be decoded."""
    if isinstance(error, UnsupportedImageError):
        return UnsupportedImage(str(error))
    if isinstance(error, DecodeFailedError):
        return DecodeFailed(str(error))
    return UnreadableImage(str(error))


class TooManyPixels(ServiceError):
    """An image is larger than the settings allow."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "too-many-pixels"
    title = "Too many pixels"

    def __init__(self, width: int, height: int, max_pixels: int) -> None:
        super().__init__(
            f"the image has {width} × {height} = {width * height} pixels, and this service "
            f"takes up to {max_pixels}: reduce the image, or raise HARDNEG_MAX_PIXELS"
        )


class SplitConflict(ServiceError):
    """The same bytes are stored in another split."""

    status = HTTPStatus.CONFLICT
    slug = "split-conflict"
    title = "Image is in another split"

    def __init__(self, image_id: int, stored_split: str, requested_split: str) -> None:
        super().__init__(
            f"image {image_id} has the same bytes and is in split '{stored_split}', so it can't be "
            f"in '{requested_split}' too: an image is either trained on or measured on. To move "
            f"it, DELETE /images/{image_id} first"
        )


class ImageIsLabelled(ServiceError):
    """A verdict was given on an image that has labels."""

    status = HTTPStatus.CONFLICT
    slug = "image-is-labelled"
    title = "Image is labelled"

    def __init__(self, image_id: int, split: str) -> None:
        super().__init__(
            f"image {image_id} is in split '{split}', where its boxes say what it contains: to "
            "change them, send it to POST /labelled-images again"
        )


class UnexpectedVerdict(ServiceError):
    """An image has another verdict than the reviewer saw."""

    status = HTTPStatus.CONFLICT
    slug = "unexpected-verdict"
    title = "Unexpected verdict"

    def __init__(self, image_id: int, verdict: str | None, expected: str | None) -> None:
        super().__init__(
            f"image {image_id} has {_in_words(verdict)}, and {_in_words(expected)} was expected: "
            "look at it again, and send its verdict in 'expected' to replace it"
        )


class ContentDamaged(ServiceError):
    """The stored bytes of an image are not those that were uploaded."""

    status = HTTPStatus.CONFLICT
    slug = "content-damaged"
    title = "Stored content is damaged"

    def __init__(self, image_id: int) -> None:
        super().__init__(
            f"the stored bytes of image {image_id} have changed since it was uploaded: restore "
            "them from a backup, or delete the image and upload it again; 'hardneg fsck' lists all"
        )


class InvalidBox(ServiceError):
    """A judged box cannot be stored."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-box"
    title = "Invalid box"

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"boxes[{position}] is refused: {reason}")


class ContradictoryVerdict(ServiceError):
    """A box is judged to hold an object, and its image to hold none."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "contradictory-verdict"
    title = "Contradictory verdict"

    def __init__(self, image_id: int, verdict: str | None) -> None:
        super().__init__(
            f"a box of image {image_id} is judged to hold an object, so the image can't have the "
            f"verdict {verdict or 'null'}: send 'contains-object', or \"boxes\": [] with it to "
            "take the verdicts on boxes back"
        )


def _in_words(verdict: str | None) -> str:
    return "no verdict" if verdict is None else f"the verdict '{verdict}'"
