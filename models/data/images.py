"""
Decode image files to upright RGB pixels, the same for training and for scoring.

JPEG, PNG, WebP, BMP, TIFF (first page) and GIF (first frame) are read. Every kind of pixel becomes
8-bit RGB by a rule that looks at no other pixel of the image:

- EXIF orientation is applied. In PNG only an EXIF chunk before the pixels counts.
- Transparent pixels are blended with white, as a browser shows them on an empty page.
- 16-bit values keep their upper 8 bits. Nothing is stretched: 12-bit data in a 16-bit file is dark.
- CMYK, YCbCr, palette and grey are converted without colour profiles.
- Floating-point and wider integer pixels are refused, because their range is unknown.
- A truncated file is refused, not filled up with grey.

A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size straight from its frequencies. This saves most
of the work on a large photograph; see `decode`.
"""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

# Pillow's own limit only warns, and through a filter of the whole process; `decode` has its own.
Image.MAX_IMAGE_PIXELS = None

MAX_PIXELS = 100_000_000
THUMBNAIL_QUALITY = 85

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
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


class UnreadableImageError(ValueError):
    """Bytes that are not a readable image; the text tells the sender why."""


class UnsupportedImageError(UnreadableImageError):
    """Bytes in a format that is not supported."""


class ImageTooLargeError(UnreadableImageError):
    """An image with too many pixels, detected from the header before decoding."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The media type, and the width and height in pixels of the upright image."""

    media_type: str
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader:
    """Read type and size without decoding any pixels. Raises UnreadableImageError."""
    try:
        with _open(data) as image:
            return _header(image)
    except _PILLOW_ERRORS as error:
        raise _unreadable(data, error) from error


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, enough: tuple[int, int] | None = None
) -> Tensor:
    """
    Decode to upright RGB pixels, uint8 [3, H, W]; channels are last in memory.

    Args:
        data: the file's bytes.
        max_pixels: limit on the whole image, even if only a smaller copy is decoded.
        enough: (height, width) of the upright image that suffices for the caller. A JPEG is then
            decoded at the smallest of 1/2, 1/4 and 1/8 of its size that is not below this, and
            still read to its end. Other formats are decoded in full.

    Raises:
        UnreadableImageError: The bytes are not a readable image.
        ImageTooLargeError: The header gives more than `max_pixels`; a kind of the above.
    """
    pixels = np.array(_upright_rgb(data, max_pixels, enough))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def thumbnail(data: bytes, max_side: int, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Encode the upright image as a JPEG within `max_side` pixels. Raises what `decode` raises."""
    image = _upright_rgb(data, max_pixels, (2 * max_side, 2 * max_side))
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=THUMBNAIL_QUALITY)
    return out.getvalue()


def _upright_rgb(data: bytes, max_pixels: int, enough: tuple[int, int] | None) -> Image.Image:
    try:
        with _open(data) as image:
            header = _header(image)
            if header.width * header.height > max_pixels:
                raise ImageTooLargeError(
                    f"{header.width} x {header.height} pixels are more than {max_pixels} allowed"
                )
            orientation = _orientation(image)
            transpose = _TRANSPOSES.get(orientation)
            if enough is not None and header.media_type == "image/jpeg":
                image.draft(None, enough if orientation >= 5 else enough[::-1])
            image.load()
            rgb = _to_rgb(image)
            return rgb if transpose is None else rgb.transpose(transpose)
    except UnreadableImageError:
        raise
    except _PILLOW_ERRORS as error:
        raise _unreadable(data, error) from error


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def _header(image: Image.Image) -> ImageHeader:
    width, height = image.size
    if width < 1 or height < 1:
        raise UnreadableImageError(f"the image has {width} x {height} pixels")
    if _orientation(image) >= 5:
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
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels are not supported: save as 8 or 16 bit")
    if image.mode.startswith("I"):
        return _upper_bits(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _upper_bits(image: Image.Image) -> Image.Image:
    """Convert 16-bit grey to RGB, from any of Pillow's integer modes."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise UnreadableImageError("integer pixels of more than 16 bits are not supported")
    return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")


def _unreadable(data: bytes, error: Exception) -> UnreadableImageError:
    if isinstance(error, UnreadableImageError):
        return error
    if not data:
        return UnreadableImageError("the file is empty")
    if isinstance(error, UnidentifiedImageError):
        return UnsupportedImageError("not a JPEG, PNG, WebP, BMP, TIFF or GIF image")
    return UnreadableImageError(f"the image is damaged: {str(error) or type(error).__name__}")
