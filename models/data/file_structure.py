"""
Tells ordinary JPEG and PNG files from all others, and counts scans, by a walk over the segments.

An ordinary file takes little time and memory to open and to decode, whatever its bytes are. Pillow
needs no longer for it than for a photograph of the same size. The walk itself stops after a number
of segments that no camera reaches.
"""

import re
import struct
from dataclasses import dataclass

MAX_PIXELS = 16_000_000
# A scan of a progressive JPEG costs up to 20 ns a pixel, however few bytes it has.
MAX_SCANNED_PIXELS = 200_000_000
MAX_SEGMENTS = 512
MAX_METADATA_BYTES = 4 * 1024**2
# A directory's entries may all point to the same bytes, and Pillow copies them for each.
MAX_DIRECTORY_ENTRIES = 200
MAX_SCAN_SEGMENTS = 10_000
MEAN_CHUNK_BYTES = 1024  # libpng writes 8 KiB; each chunk costs Pillow some microseconds

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_SCAN_END = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)  # a marker, no restart
_FRAMES = {0xC0: False, 0xC1: False, 0xC2: True}  # those of Huffman codes: whether progressive
_OTHER_SEGMENTS = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_TIFF_HEADERS = {b"II*\0": "<", b"MM\0*": ">"}
_MAX_OTHER_CHUNKS = 64
_UNUSUAL_CHUNKS = frozenset({b"IHDR", b"acTL", b"fcTL", b"fdAT"})  # a second header; animations


@dataclass(frozen=True, slots=True)
class OrdinaryFile:
    """The size of an ordinary file in pixels, and the bytes that decoding takes for each."""

    num_pixels: int
    bytes_per_pixel: int


def may_be_image(data: bytes) -> bool:
    """Return whether `data` starts like a file in a supported format."""
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return is_webp or data.startswith(_SIGNATURES + _TIFF_SIGNATURES)


def ordinary_file(data: bytes) -> OrdinaryFile | None:
    """Return the size of an ordinary JPEG or PNG; None for any other file."""
    try:
        if data.startswith(_SIGNATURES[0]):
            return _ordinary_jpeg(data)
        if data.startswith(_SIGNATURES[1]):
            return _ordinary_png(data)
    except (struct.error, IndexError):  # it ends within a segment
        return None
    return None


def count_scans(data: bytes, limit: int) -> int:
    """
    Count the scans of a JPEG up to the end of its first image; 0 for any other file.

    The count ends above `limit`, and a file with MAX_SCAN_SEGMENTS has more than any limit.
    """
    if not data.startswith(_SIGNATURES[0]) or data.count(b"\xff\xda") <= limit:
        return 0
    num_scans, position = 0, 2
    for _ in range(MAX_SCAN_SEGMENTS):
        found = _SCAN_END.search(data, position)
        if found is None or found[1][0] == _END_OF_IMAGE or num_scans > limit:
            return num_scans
        num_scans += found[1][0] == _START_OF_SCAN
        length = int.from_bytes(data[found.end() : found.end() + 2])
        position = found.end() + length
    return limit + 1


def _ordinary_jpeg(data: bytes) -> OrdinaryFile | None:
    position, num_pixels, num_components, num_exif, is_progressive = 2, 0, 0, 0, False
    for _ in range(MAX_SEGMENTS):
        prefix, marker, length = struct.unpack_from(">BBH", data, position)
        if prefix != 0xFF:
            return None
        if marker == _START_OF_SCAN:
            break
        if marker in _FRAMES:
            frame = struct.unpack_from(">BHHB", data, position + 4)
            precision, height, width, num_components = frame
            if precision != 8 or num_pixels:
                return None
            num_pixels, is_progressive = height * width, _FRAMES[marker]
        elif marker not in _OTHER_SEGMENTS or not _has_few_entries(data, position + 4):
            return None
        num_exif += data.startswith(b"Exif\0\0", position + 4)
        position += 2 + length
    else:
        return None
    # libjpeg reads no second scan if the first one of a sequential file has all components.
    is_single = not is_progressive and data[position + 4] == num_components
    num_scans = 1 if is_single else data.count(b"\xff\xda", position)
    if num_exif > 1 or position > MAX_METADATA_BYTES or not 0 < num_pixels <= MAX_PIXELS:
        return None
    if num_pixels * num_scans > MAX_SCANNED_PIXELS:
        return None
    # Pillow's 4 bytes and ours; of several scans, libjpeg keeps every coefficient.
    return OrdinaryFile(num_pixels, 8 if is_single else 14)


def _has_few_entries(data: bytes, position: int) -> bool:
    """Check the directory of an EXIF or MPF segment, which Pillow reads as it reads a TIFF's."""
    if data.startswith(b"Exif\0\0", position):
        return _is_short_directory(data, position + 6)
    if data.startswith(b"MPF\0", position):
        return _is_short_directory(data, position + 4)
    return True


def _is_short_directory(data: bytes, start: int) -> bool:
    order = _TIFF_HEADERS.get(data[start : start + 4])
    if order is None:
        return False
    (offset,) = struct.unpack_from(f"{order}I", data, start + 4)
    (num_entries,) = struct.unpack_from(f"{order}H", data, start + offset)
    return bool(num_entries <= MAX_DIRECTORY_ENTRIES)


def _ordinary_png(data: bytes) -> OrdinaryFile | None:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR" or not 0 < width * height <= MAX_PIXELS:
        return None
    position, num_metadata_bytes, num_other_chunks = 33, 0, 0
    for _ in range(64 + len(data) // MEAN_CHUNK_BYTES):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IEND":
            return OrdinaryFile(width * height, 8)
        if kind != b"IDAT":
            num_metadata_bytes += length
            num_other_chunks += 1
            if kind in _UNUSUAL_CHUNKS or num_other_chunks > _MAX_OTHER_CHUNKS:
                return None
            if num_metadata_bytes > MAX_METADATA_BYTES:
                return None
            if kind == b"eXIf" and not _is_short_directory(data, position + 8):
                return None
        position += 12 + length
    return None
