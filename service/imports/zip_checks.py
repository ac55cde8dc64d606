"""Checks of a zip before any of it is unpacked, so that a small one cannot fill the memory."""

import zipfile
from collections.abc import Sequence
from typing import BinaryIO

from service.imports.entries import UnreadableSource

MAX_RATIO = 200  # photographs hardly shrink; DEFLATE can expand one byte to a thousand
RATIO_COUNTS_FROM_BYTES = 1024**2
# Python unpacks the other methods in pieces of unlimited size.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_DIRECTORY_SIZE = 5  # in the record that ends a zip
_LEAST_ENTRY_BYTES = 46
_MEAN_ENTRY_BYTES = 512  # with its name and extra fields
_LOCAL_HEADER_BYTES = 30


def check_directory(file: BinaryIO, max_files: int) -> None:
    """
    Check that a zip's directory is not too long to be read.

    Raises:
        UnreadableSource: It has room for many times the files that are allowed.
    """
    record = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if record is not None and record[_DIRECTORY_SIZE] > 64 * 1024 + _MEAN_ENTRY_BYTES * max_files:
        num_files = record[_DIRECTORY_SIZE] // _LEAST_ENTRY_BYTES
        raise UnreadableSource(
            f"the archive's directory is too long: it has room for {num_files} files, and "
            f"{max_files} are allowed"
        )


def check_overlaps(members: Sequence[zipfile.ZipInfo]) -> None:
    """Check that no two files share bytes. Raises UnreadableSource."""
    end = 0
    for info in sorted(members, key=lambda member: member.header_offset):
        if info.header_offset < end:
            raise UnreadableSource(f"'{info.filename}' shares its bytes with another file")
        end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size


def why_not_unpacked(info: zipfile.ZipInfo, max_bytes: int) -> str | None:
    """Return why a file is refused without unpacking it, by the sizes that the directory gives."""
    if info.compress_type not in METHODS:
        return "it is compressed by another method than DEFLATE: pack it anew"
    if info.file_size > max_bytes:
        return f"it is larger than {max_bytes} bytes"
    if info.file_size > max(RATIO_COUNTS_FROM_BYTES, MAX_RATIO * info.compress_size):
        return f"it unpacks to more than {MAX_RATIO} times its size in the archive"
    return None
