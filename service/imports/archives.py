"""
Reads the files of a zip or tar without unpacking to disk or trusting what the archive declares.

One limit holds for each file and another for all files together, refused ones included: bytes are
counted before they are unpacked. Members without a name, members that are not plain files, paths
that lead out of the archive, and zips whose files share bytes are refused.
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
from service.imports.xz import XzFile
from service.imports.zip_checks import check_directory, check_overlaps, why_not_unpacked

# tarfile reads a header in one piece, however long it claims to be, and keeps hundreds in a row.
MAX_TAR_READ_BYTES = 1024**2

Decompressed = BinaryIO | gzip.GzipFile | bz2.BZ2File | io.BufferedReader

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # encrypted, or compressed by a method that this Python cannot unpack
    ValueError,
)


def is_archive(file: BinaryIO) -> bool:
    """Return whether `file` starts like a tar or ends like a zip that `open_archive` can read."""
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
    """
    Open a zip, or a tar that is plain or compressed by gzip, bzip2 or xz.

    Raises:
        UnreadableSource: `file` is no such archive; reading its entries may raise it, too.
    """
    if zipfile.is_zipfile(file):
        yield read_zip(file, limits)
        return
    file.seek(0)
    with _open_tar(file) as archive:
        yield Source(_tar_entries(archive, limits), None)


def read_zip(file: BinaryIO, limits: Limits) -> Source:
    """
    Open a zip whose entries can be read in any order and more than once.

    Raises:
        UnreadableSource: `file` is damaged or has too many files.
    """
    try:
        check_directory(file, limits.max_files)
        archive = zipfile.ZipFile(file)
    except DAMAGE as error:
        raise UnreadableSource(f"the zip is damaged: {error}") from error
    # Python 3.11's `is_dir` fails on an empty name.
    members = [info for info in archive.infolist() if not info.filename.endswith("/")]
    if len(members) > limits.max_files:
        raise UnreadableSource(
            f"the archive has {len(members)} files; {limits.max_files} are allowed"
        )
    check_overlaps(members)
    return Source(_zip_entries(archive, members, limits), len(members))


def _zip_entries(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], limits: Limits
) -> Iterator[Entry]:
    total = _Total(limits.max_total_bytes)
    for info in members:
        mode = info.external_attr >> 16
        if is_system_file(info.filename):
            continue
        reason = _why_refused(info.filename, stat.S_IFMT(mode) in (0, stat.S_IFREG))
        if reason is not None:
            yield refused(info.filename, reason)
        else:
            read = partial(_read_zip_member, archive, info, limits, total)
            yield Entry(info.filename, read, info.file_size)


def _read_zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits, total: "_Total"
) -> bytes:
    reason = why_not_unpacked(info, limits.max_file_bytes)
    if reason is not None:
        raise UnreadableEntry(reason)
    total.add(info.file_size, info)
    try:
        with archive.open(info) as member:  # it yields `file_size` bytes at most
            return _read_all(member)
    except DAMAGE as error:
        raise UnreadableEntry(f"it cannot be unpacked: {error}") from error


@contextmanager
def _open_tar(file: BinaryIO) -> Iterator[tarfile.TarFile]:
    with _decompressed(file) as plain:
        try:
            archive = tarfile.TarFile(fileobj=_ShortReads(plain))
        except DAMAGE as error:
            raise UnreadableSource(f"the file is neither a zip nor a tar: {error}") from error
        with archive:
            yield archive


@contextmanager
def _decompressed(file: BinaryIO) -> Iterator[Decompressed]:
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        with gzip.open(file) as decompressed:
            yield decompressed
    elif magic.startswith(b"BZh"):
        with bz2.open(file) as decompressed:
            yield decompressed
    elif magic == b"\xfd7zXZ\x00":
        yield io.BufferedReader(XzFile(file))
    else:
        yield file


def _tar_entries(archive: tarfile.TarFile, limits: Limits) -> Iterator[Entry]:
    total, position = _Total(limits.max_total_bytes), 0
    for number, member in enumerate(_tar_members(archive), 1):
        if number > limits.max_files:
            raise UnreadableSource(f"the archive has more than {limits.max_files} files")
        # Finding the next member decompresses this one in any case, and its headers.
        total.add(max(member.size, archive.offset - position), number)
        position = archive.offset
        if member.isdir() or is_system_file(member.name):
            continue
        reason = _why_refused(member.name, member.isreg())
        if reason is not None:
            yield refused(member.name, reason)
        else:
            yield Entry(member.name, partial(_read_tar_member, archive, member, limits))


def _tar_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while True:
        try:
            member = archive.next()
        except DAMAGE as error:
            raise UnreadableSource(f"the rest of the tar is damaged: {error}") from error
        if member is None:
            return
        archive.members = []  # type: ignore[attr-defined]  # it would keep every header
        yield member


def _read_tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo, limits: Limits) -> bytes:
    if member.size > limits.max_file_bytes:
        raise UnreadableEntry(f"it is larger than {limits.max_file_bytes} bytes")
    try:
        file = archive.extractfile(member)
        assert file is not None
        with file:
            content = _read_all(file)
    except DAMAGE as error:
        raise UnreadableEntry(f"it cannot be unpacked: {error}") from error
    if len(content) != member.size:
        raise UnreadableEntry("the archive ends before the file does")
    return content


def _read_all(member: IO[bytes]) -> bytes:
    """Read in pieces: zipfile unpacks all that is there for one read without a size."""
    return b"".join(iter(partial(member.read, 1024**2), b""))


class _ShortReads(io.RawIOBase):
    """The file of a tar; a read so large that it could fill the memory raises ReadError."""

    def __init__(self, file: Decompressed) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_TAR_READ_BYTES:
            raise tarfile.ReadError(f"it has a header of {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Total:
    """A count of unpacked bytes with a limit; a member that is read twice counts once."""

    def __init__(self, max_bytes: int) -> None:
        self._left = self._max_bytes = max_bytes
        self._counted: set[object] = set()

    def add(self, num_bytes: int, member: object) -> None:
        """
        Count the bytes of a member.

        Raises:
            UnreadableSource: all members together exceed the limit.
        """
        if member in self._counted:
            return
        self._counted.add(member)
        self._left -= num_bytes
        if self._left < 0:
            raise UnreadableSource(f"the archive unpacks to more than {self._max_bytes} bytes")


def _why_refused(name: str, is_plain_file: bool) -> str | None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        return "its path leads out of the archive"
    if not path.parts:
        return "it has no name"
    return None if is_plain_file else "it is a link or a device, not a plain file"
