"""Zips of a few bytes that unpack to many."""

import io
import struct
import zipfile
import zlib


def zip_of_zeros(num_files: int, size: int, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Pack files of `size` zeros each."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for number in range(num_files):
            archive.writestr(f"{number}.png", bytes(size))
    return out.getvalue()


def zip_of_one_body(num_files: int, size: int) -> bytes:
    """Return a zip whose directory names the same packed bytes many times."""
    packed = zlib.compress(bytes(size), 9)[2:-4]
    checksum = zlib.crc32(bytes(size))
    fields = (20, 0, 8, 0, 33, checksum, len(packed), size, 5, 0)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", *fields) + b"0.png" + packed
    entries = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *fields[:9], *(0,) * 6) + f"{number:05}".encode()
        for number in range(num_files)
    )
    end = (0, 0, num_files, num_files, len(entries), len(local), 0)
    return local + entries + struct.pack("<4s4H2IH", b"PK\5\6", *end)


def zip_that_lies(size: int) -> bytes:
    """Pack zeros under a directory that declares a single byte."""
    data = bytearray(zip_of_zeros(1, size))
    entry = data.rfind(b"PK\1\2")
    struct.pack_into("<I", data, entry + 24, 1)
    return bytes(data)


def zip_of_many_names(num_files: int) -> bytes:
    """Return a zip whose directory is long and whose files are empty."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(num_files):
            archive.writestr(zipfile.ZipInfo(f"{number}/"), b"")
    return out.getvalue()


def with_dictionary_of_gigabytes(packed: bytes) -> bytes:
    """Let the first block of an xz file ask for a dictionary of 3 GiB."""
    start, size = 12, (packed[12] + 1) * 4  # the block's header follows the stream's
    header = bytearray(packed[start : start + size - 4])
    properties = header.index(b"\x21\x01") + 2  # LZMA2 with one byte of properties
    header[properties] = 39
    checksum = zlib.crc32(header).to_bytes(4, "little")
    return packed[:start] + bytes(header) + checksum + packed[start + size :]
