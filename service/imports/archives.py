"""
The files of a zip or tar. Nothing is unpacked to disk, and nothing declared is trusted.

A file is read up to a limit, all files together up to another one; members that are no plain
files, or whose path leads out of the archive, are refused.
"""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import IO, BinaryIO

from service.imports.entries import (
    Entry,
    Limits,
    Source,
    UnreadableEntry,
    UnreadableSource,
    is_system_file,
    refused,
)

MAX_RATIO = 200  # photographs hardly shrink; DEFLATE can blow a byte up to a thousand
RATIO_COUNTS_FROM_BYTES = 1024**2
# Of one header, which tarfile reads whole however long it says; it keeps a few hundred in a row.
MAX_TAR_READ_BYTES = 1024**2

Unpacked = BinaryIO | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # encrypted; of a method that this Python cannot unpack
    ValueError,
)


def is_archive(file: BinaryIO) -> bool:
    """Whether it begins, or in a zip ends, like an archive that `open_archive` reads."""
    file.seek(0)
    found = zipfile.is_zipfile(file)
    file.seek(0)
    found = found or _is_tar(file)
    file.seek(0)
    return found


def _is_tar(file: BinaryIO) -> bool:
    try:
        with _open_tar(file):
            return True
    except UnreadableSource:
        return False


@contextmanager
def open_archive(file: BinaryIO, limits: Limits) -> Iterator[Source]:
    """Raises UnreadableSource."""
    if zipfile.is_zipfile(file):
        yield read_zip(file, limits)
        return
    file.seek(0)
    with _open_tar(file) as archive:
        yield Source(_tar_entries(archive, limits), None)


def read_zip(file: BinaryIO, limits: Limits) -> Source:
    """Its entries can be read in any order, and more than once. Raises UnreadableSource."""
    try:
        archive = zipfile.ZipFile(file)
    except DAMAGE as error:
        raise UnreadableSource(f"the archive is not a zip that can be read: {error}") from error
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) > limits.max_files:
        raise UnreadableSource(
            f"the archive has {len(members)} files; {limits.max_files} are allowed"
        )
    return Source(_zip_entries(archive, members, limits), len(members))


def _zip_entries(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], limits: Limits
) -> Iterator[Entry]:
    total = _Total(limits.max_total_bytes)
    for info in members:
        mode = info.external_attr >> 16
        if is_system_file(info.filename):
            continue
        if _leads_out(info.filename):
            yield refused(info.filename, "its path leads out of the archive")
        elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            yield refused(info.filename, "it is a link or a device, not a plain file")
        else:
            yield Entry(info.filename, partial(_read_zip_member, archive, info, limits, total))


def _read_zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits, total: "_Total"
) -> bytes:
    try:
        with archive.open(info) as member:
            content = _read_up_to(member, limits.max_file_bytes)
    except DAMAGE as error:
        raise UnreadableEntry(f"it can't be unpacked: {error}") from error
    if len(content) > max(RATIO_COUNTS_FROM_BYTES, MAX_RATIO * info.compress_size):
        raise UnreadableEntry(f"it unpacks to more than {MAX_RATIO} times its size in the archive")
    total.add(len(content), info)
    return content


@contextmanager
def _open_tar(file: BinaryIO) -> Iterator[tarfile.TarFile]:
    with _unpacked(file) as plain:
        try:
            archive = tarfile.TarFile(fileobj=_ShortReads(plain))
        except DAMAGE as error:
            raise UnreadableSource(f"neither a zip nor a tar that can be read: {error}") from error
        with archive:
            yield archive


@contextmanager
def _unpacked(file: BinaryIO) -> Iterator[Unpacked]:
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        with gzip.open(file) as unzipped:
            yield unzipped
    elif magic.startswith(b"BZh"):
        with bz2.open(file) as unzipped:
            yield unzipped
    elif magic == b"\xfd7zXZ\x00":
        with lzma.open(file) as unzipped:
            yield unzipped
    else:
        yield file


def _tar_entries(archive: tarfile.TarFile, limits: Limits) -> Iterator[Entry]:
    total = _Total(limits.max_total_bytes)
    for number, member in enumerate(_tar_members(archive), 1):
        if number > limits.max_files:
            raise UnreadableSource(f"the archive has more than {limits.max_files} files")
        total.add(member.size, number)  # going on to the next member unpacks this one, read or not
        if member.isdir() or is_system_file(member.name):
            continue
        if _leads_out(member.name):
            yield refused(member.name, "its path leads out of the archive")
        elif not member.isreg():
            yield refused(member.name, "it is a link or a device, not a plain file")
        else:
            yield Entry(member.name, partial(_read_tar_member, archive, member, limits))


def _tar_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while True:
        try:
            member = archive.next()
        except DAMAGE as error:
            raise UnreadableSource(f"the tar is damaged from here on: {error}") from error
        if member is None:
            return
        archive.members = []  # type: ignore[attr-defined]  # it keeps every header it has read
        yield member


def _read_tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo, limits: Limits) -> bytes:
    if member.size > limits.max_file_bytes:
        raise UnreadableEntry(f"it is larger than {limits.max_file_bytes} bytes")
    try:
        file = archive.extractfile(member)
        assert file is not None
        with file:
            content = b"".join(iter(partial(file.read, 1024**2), b""))
    except DAMAGE as error:
        raise UnreadableEntry(f"it can't be unpacked: {error}") from error
    if len(content) != member.size:
        raise UnreadableEntry("the archive ends within it")
    return content


class _ShortReads(io.RawIOBase):
    """A tar's file that refuses to be read in pieces so large that they fill the memory."""

    def __init__(self, file: Unpacked) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_TAR_READ_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Total:
    """Bytes unpacked so far, against the limit; a member that is read again counts once."""

    def __init__(self, max_bytes: int) -> None:
        self._left = self._max_bytes = max_bytes
        self._counted: set[object] = set()

    def add(self, num_bytes: int, member: object) -> None:
        if member in self._counted:
            return
        self._counted.add(member)
        self._left -= num_bytes
        if self._left < 0:
            raise UnreadableSource(f"the archive unpacks to more than {self._max_bytes} bytes")


def _read_up_to(member: IO[bytes], max_bytes: int) -> bytes:
    content = member.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise UnreadableEntry(f"it is larger than {max_bytes} bytes")
    return content


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts
