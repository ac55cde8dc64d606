"""
Reads image files with Pillow, strip by strip, without torch: a decode process loads only this.

`models.data.images` says which pixels come out.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

# Pillow's own limit only warns, and through a filter of the whole process; `decode` has its own.
Image.MAX_IMAGE_PIXELS = None

THUMBNAIL_QUALITY = 85
STRIP_PIXELS = 1_000_000
OUT_OF_MEMORY = "decoding the image takes more memory than is allowed"

_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # several JPEGs in one file, as phones write; the first is the picture
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
}
_FORMATS = tuple(name for name in _MEDIA_TYPES if name != "MPO")  # reached through JPEG

_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow raised each of these for a damaged file, or can.
_PILLOW_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

Pixels = NDArray[np.uint8]  # [H, W, 3], RGB
# From the (height, width) of an upright image to those that suffice of it; None for all
DecodeSize = Callable[[int, int], tuple[int, int] | None]


class UnreadableImageError(ValueError):
    """Bytes that are not a readable image; the text tells the sender why."""


class UnsupportedImageError(UnreadableImageError):
    """Bytes in a format that is not supported."""


class ImageTooLargeError(UnreadableImageError):
    """An image with too many pixels, detected from the header before decoding."""


class DecodeFailedError(UnreadableImageError):
    """An image that takes more time or memory than a decode process may use, or that ends it."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The media type, and the width and height in pixels of the upright image."""

    media_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Strips:
    """
    The rows of an image as stored, from the top, in strips of about STRIP_PIXELS.

    Attributes:
        header: of the whole image.
        height, width: of all strips together.
        orientation: by EXIF, 1 to 8; see `as_stored`.
    """

    header: ImageHeader
    height: int
    width: int
    orientation: int
    strips: Iterator[Pixels]


def read_header(data: bytes) -> ImageHeader:
    """Read type and size without decoding any pixels. Raises UnreadableImageError."""
    try:
        with _open(data) as image:
            return _header(image, _orientation(image))
    except (*_PILLOW_ERRORS, MemoryError) as error:
        raise _unreadable(data, error) from error


def read_strips(data: bytes, max_pixels: int, decode_size: DecodeSize) -> Strips:
    """Decode a file as `models.data.images` does. The strips raise its errors, too."""
    try:
        image, header, orientation = _load(data, max_pixels, decode_size)
    except (*_PILLOW_ERRORS, MemoryError) as error:
        raise _unreadable(data, error) from error
    return Strips(header, image.height, image.width, orientation, _rgb_strips(data, image))


def as_stored(pixels: Pixels, orientation: int) -> Pixels:
    """Return a view of upright pixels in the order of the file; it takes the file's rows."""
    flips = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
    rows, columns = flips.get(orientation, (1, 1))
    flipped = pixels[::rows, ::columns]
    return flipped.swapaxes(0, 1) if orientation >= 5 else flipped


def thumbnail(data: bytes, max_side: int, max_pixels: int) -> bytes:
    """Encode the upright image as a JPEG within `max_side` pixels; only strips become RGB."""
    stored = read_strips(data, max_pixels, lambda height, width: (2 * max_side, 2 * max_side))
    factor = max(1, max(stored.height, stored.width) // (2 * max_side))
    small = Image.new("RGB", (-(-stored.width // factor), -(-stored.height // factor)))
    for top, strip in _at_multiples_of(factor, stored.strips):
        small.paste(Image.fromarray(strip).reduce(factor), (0, top // factor))
    small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    transpose = _TRANSPOSES.get(stored.orientation)
    out = io.BytesIO()
    (small if transpose is None else small.transpose(transpose)).save(
        out, format="JPEG", quality=THUMBNAIL_QUALITY
    )
    return out.getvalue()


def _at_multiples_of(factor: int, strips: Iterator[Pixels]) -> Iterator[tuple[int, Pixels]]:
    """Yield strips with their first row; each but the last has a multiple of `factor` rows."""
    top, rest = 0, None
    for strip in strips:
        rows = strip if rest is None else np.concatenate([rest, strip])
        whole = len(rows) - len(rows) % factor
        if whole:
            yield top, rows[:whole]
        top, rest = top + whole, rows[whole:] if whole < len(rows) else None
    if rest is not None:
        yield top, rest


def _load(
    data: bytes, max_pixels: int, decode_size: DecodeSize
) -> tuple[Image.Image, ImageHeader, int]:
    """Return the pixels as stored, the header and the orientation."""
    image = _open(data)
    orientation = _orientation(image)  # an EXIF chunk after the pixels of a PNG does not count
    header = _header(image, orientation)
    if header.width * header.height > max_pixels:
        raise ImageTooLargeError(
            f"{header.width} x {header.height} pixels are more than {max_pixels} allowed"
        )
    enough = decode_size(header.height, header.width)
    if enough is not None and header.media_type == "image/jpeg":
        image.draft(None, enough if orientation >= 5 else enough[::-1])
    image.load()
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels are not supported: save as 8 or 16 bit")
    return image, header, orientation


def _rgb_strips(data: bytes, image: Image.Image) -> Iterator[Pixels]:
    num_rows = max(1, STRIP_PIXELS // image.width)
    try:
        for top in range(0, image.height, num_rows):
            bottom = min(image.height, top + num_rows)
            is_whole = num_rows >= image.height
            strip = image if is_whole else image.crop((0, top, image.width, bottom))
            yield np.asarray(_to_rgb(strip))
    except (*_PILLOW_ERRORS, MemoryError) as error:
        raise _unreadable(data, error) from error


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _header(image: Image.Image, orientation: int) -> ImageHeader:
    width, height = image.size
    if width < 1 or height < 1:
        raise UnreadableImageError(f"the image has {width} x {height} pixels")
    if orientation >= 5:
        width, height = height, width
    return ImageHeader(_MEDIA_TYPES[image.format or ""], width, height)


def _orientation(image: Image.Image) -> int:
    """Return 1 to 8 from the header, without decoding pixels; 1 for any other value."""
    raw = image.info.get("exif")
    if image.format == "TIFF" or not isinstance(raw, bytes):
        return 1  # Pillow rotates TIFF itself, and its reported size, too
    exif = Image.Exif()
    try:
        exif.load(raw)
        value = exif.get(_ORIENTATION_TAG)
    except _PILLOW_ERRORS:  # the pixels can be good all the same
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _upper_bits(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_bits(image: Image.Image) -> Image.Image:
    """Convert 16-bit grey to RGB, from any of Pillow's integer modes."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise UnreadableImageError("integer pixels of more than 16 bits are not supported")
    return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")


def _unreadable(data: bytes, error: Exception) -> UnreadableImageError:
    if isinstance(error, UnreadableImageError):
        return error
    if isinstance(error, MemoryError):
        return DecodeFailedError(OUT_OF_MEMORY)
    if not data:
        return UnreadableImageError("the file is empty")
    if isinstance(error, UnidentifiedImageError):
        return UnsupportedImageError("not a JPEG, PNG, WebP, BMP, TIFF or GIF image")
    return UnreadableImageError(f"the image is damaged: {str(error) or type(error).__name__}")
