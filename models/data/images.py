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

Nothing in a file is trusted. Ordinary JPEGs and PNGs are decoded in the calling thread, all other
files in processes that the kernel stops at a limit of time and memory. Both share one budget of
memory. See `docs/decisions/0015-decoding-apart.md`.
"""

import atexit
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.data import pixels
from models.data.budget import MemoryBudget
from models.data.decode_processes import DecodeProcesses
from models.data.file_structure import count_scans, may_be_image, ordinary_file
from models.data.pixels import (
    DecodeFailedError,
    DecodeSize,
    ImageHeader,
    ImageTooLargeError,
    Pixels,
    UnreadableImageError,
    UnsupportedImageError,
    as_stored,
)

__all__ = [
    "DecodeFailedError",
    "DecodeLimits",
    "DecodedFile",
    "ImageHeader",
    "ImageTooLargeError",
    "UnreadableImageError",
    "UnsupportedImageError",
    "close_decode_processes",
    "decode",
    "decode_file",
    "limit_decoding",
    "read_header",
    "thumbnail",
]

MAX_PIXELS = 100_000_000
MAX_SCANS = 100  # encoders write about ten; each one is a pass over all coefficients

# Of a decode process, beside the file: its own code, buffers, and the layers of the worst format
HEADER_BYTES = 128 * 1024**2
BYTES_PER_PIXEL = 16
COPIES_OF_FILE = 3


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """
    What decoding may cost this process and its decode processes.

    Attributes:
        memory_bytes: of all images that are decoded at one time.
        timeout_s: processor time for one image in a decode process.
        max_processes: decode processes at one time.
    """

    memory_bytes: int = 1024**3
    timeout_s: float = 10.0
    max_processes: int = 2


class DecodedFile(NamedTuple):
    """The header of a file, and its pixels, uint8 [3, H, W], or those of a smaller copy."""

    header: ImageHeader
    pixels: Tensor


class _Decoding:
    """The budget and the decode processes of this process; memory belongs to a process."""

    def __init__(self, limits: DecodeLimits) -> None:
        self.limits = limits
        self.budget = MemoryBudget(limits.memory_bytes)
        self.processes = DecodeProcesses(limits.max_processes, limits.timeout_s)


_decoding = _Decoding(DecodeLimits())


def limit_decoding(limits: DecodeLimits) -> None:
    """Set the limits for all decoding in this process; images under way keep those before."""
    global _decoding
    if limits != _decoding.limits:
        before, _decoding = _decoding, _Decoding(limits)
        before.processes.retire()


def close_decode_processes() -> None:
    """Kill the decode processes; images that they decode raise DecodersClosed."""
    global _decoding
    before, _decoding = _decoding, _Decoding(_decoding.limits)
    before.processes.close()


def _forget_after_fork() -> None:
    """Start anew in a forked process: the pipes and the threads are its parent's."""
    global _decoding
    _decoding = _Decoding(_decoding.limits)


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(close_decode_processes)


def read_header(data: bytes) -> ImageHeader:
    """Read type and size without decoding any pixels. Raises UnreadableImageError."""
    if ordinary_file(data) is not None:
        return pixels.read_header(data)
    return _header_apart(data, _decoding)


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
        DecodeFailedError: Decoding takes too much time or memory; a kind of the above, too.
    """
    return decode_file(data, lambda height, width: enough, max_pixels=max_pixels).pixels


def decode_file(
    data: bytes, decode_size: DecodeSize, *, max_pixels: int = MAX_PIXELS
) -> DecodedFile:
    """
    Read a file's header and decode it, both from one look at the file.

    `decode_size` is given the upright image's (height, width), and returns what `decode` takes as
    `enough`. Raises what `decode` raises.
    """
    decoding, ordinary = _decoding, ordinary_file(data)
    if ordinary is not None:
        with decoding.budget.take(ordinary.num_pixels * ordinary.bytes_per_pixel):
            strips = pixels.read_strips(data, max_pixels, decode_size)
            return DecodedFile(strips.header, _as_tensor(_upright(strips)))
    header, needed_bytes = _needs_apart(data, max_pixels, decoding)
    enough = decode_size(header.height, header.width)
    with decoding.budget.take(needed_bytes):
        upright = decoding.processes.decode(data, max_pixels, enough, memory_bytes=needed_bytes)
    return DecodedFile(header, _as_tensor(upright))


def thumbnail(data: bytes, max_side: int, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Encode the upright image as a JPEG within `max_side` pixels. Raises what `decode` raises."""
    decoding, ordinary = _decoding, ordinary_file(data)
    if ordinary is not None:
        with decoding.budget.take(ordinary.num_pixels * ordinary.bytes_per_pixel):
            return pixels.thumbnail(data, max_side, max_pixels)
    _, needed_bytes = _needs_apart(data, max_pixels, decoding)
    with decoding.budget.take(needed_bytes):
        return decoding.processes.thumbnail(data, max_side, max_pixels, memory_bytes=needed_bytes)


def _needs_apart(data: bytes, max_pixels: int, decoding: _Decoding) -> tuple[ImageHeader, int]:
    """Return a file's header, and the memory that a decode process may use for the file."""
    header = _header_apart(data, decoding)
    num_pixels = header.width * header.height
    if num_pixels > max_pixels:
        raise ImageTooLargeError(
            f"{header.width} x {header.height} pixels are more than {max_pixels} allowed"
        )
    needed_bytes = HEADER_BYTES + COPIES_OF_FILE * len(data) + BYTES_PER_PIXEL * num_pixels
    return header, min(needed_bytes, decoding.limits.memory_bytes)


def _header_apart(data: bytes, decoding: _Decoding) -> ImageHeader:
    if not data:
        raise UnreadableImageError("the file is empty")
    if not may_be_image(data):
        raise UnsupportedImageError("not a JPEG, PNG, WebP, BMP, TIFF or GIF image")
    if count_scans(data, MAX_SCANS) > MAX_SCANS:
        raise DecodeFailedError(
            f"the JPEG has more than {MAX_SCANS} scans: save it again as a baseline JPEG"
        )
    needed_bytes = HEADER_BYTES + COPIES_OF_FILE * len(data)
    with decoding.budget.take(needed_bytes):
        return decoding.processes.header(data, memory_bytes=needed_bytes)


def _upright(decoded: pixels.Strips) -> Pixels:
    height, width = decoded.height, decoded.width
    shape = (width, height) if decoded.orientation >= 5 else (height, width)
    out = np.empty((*shape, 3), np.uint8)
    stored, top = as_stored(out, decoded.orientation), 0
    for strip in decoded.strips:
        stored[top : top + len(strip)] = strip
        top += len(strip)
    return out


def _as_tensor(upright: Pixels) -> Tensor:
    return torch.from_numpy(upright).permute(2, 0, 1)
