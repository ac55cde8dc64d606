"""Image files of a few bytes that cost their reader much time or memory."""

import io
import struct
import zlib

from PIL import Image

START_OF_SCAN = b"\xff\xda"


def jpeg_of_many_scans(side: int, num_scans: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated; each one costs a whole pass."""
    out = io.BytesIO()
    Image.new("L", (side, side)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rfind(START_OF_SCAN)
    return data[:last] + data[last:-2] * num_scans + data[-2:]


def transparent_png(side: int) -> bytes:
    """Return a small file of side × side half transparent pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" + bytes([255, 0, 0, 128]) * side
    pixels = b"".join([packer.compress(row) for _ in range(side)]) + packer.flush()
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def png_of_many_chunks(num_chunks: int) -> bytes:
    """Return a PNG with empty chunks before its pixels; Pillow needs microseconds for each."""
    data = transparent_png(8)
    return data[:33] + _chunk(b"teSt", b"") * num_chunks + data[33:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
