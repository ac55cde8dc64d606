"""The size of an image in the sense of its boxes: upright."""

from pathlib import Path

from PIL import Image

ORIENTATION_TAG = 0x0112
FIRST_LYING = 5  # EXIF orientations from here on swap width and height


class UnreadableSizeError(ValueError):
    """A file whose size cannot be read; the text says why."""


def upright_size(path: Path) -> tuple[int, int]:
    """
    Return the width and height of an image, in pixels, once its EXIF orientation is applied.

    Raises UnreadableSizeError.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            return (height, width) if _is_lying(image) else (width, height)
    except Exception as error:  # Pillow raises almost anything for a damaged file
        reason = getattr(error, "strerror", None) or "it is not a readable image"
        raise UnreadableSizeError(reason) from error


def _is_lying(image: Image.Image) -> bool:
    if image.format == "TIFF" or "exif" not in image.info:
        return False  # Pillow turns TIFF itself; without the check PNG would decode its pixels
    orientation = image.getexif().get(ORIENTATION_TAG)
    return isinstance(orientation, int) and orientation >= FIRST_LYING
