"""A zip that is sent while it is written: no more of it is in memory than one chunk."""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

CHUNK_BYTES = 1024**2
DATE = (1980, 1, 1, 0, 0, 0)  # one for all: the same export has the same bytes
PERMISSIONS = 0o644 << 16


@dataclass(frozen=True, slots=True)
class ZipMember:
    """
    One file of the zip.

    Attributes:
        read: opens its bytes, in chunks; called when its turn comes.
        is_packed: whether to compress it; images are compressed already.
    """

    name: str
    size_bytes: int
    read: Callable[[], Iterable[bytes]]
    is_packed: bool = False


def file_member(path: Path, name: str) -> ZipMember:
    """Return a file of a folder as a member."""
    return ZipMember(name, path.stat().st_size, partial(_read_file, path), is_packed=True)


def stream_zip(members: Iterable[ZipMember]) -> Iterator[bytes]:
    """Yield the bytes of a zip of the members, each read when its turn comes."""
    sent = _Outlet()
    with zipfile.ZipFile(sent, "w") as archive:
        for member in members:
            with archive.open(_header(member), "w") as file:
                for chunk in member.read():
                    file.write(chunk)
                    yield from sent.take()
    yield from sent.take()


class _Outlet:
    """A file to write that cannot seek: it hands on what was written."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: `take` hands everything on."""

    def close(self) -> None:
        """Do nothing: zipfile leaves a file open that it did not open."""

    def take(self) -> list[bytes]:
        """Return what was written since the last call."""
        written, self._written = self._written, []
        return [b"".join(written)] if written else []


def _header(member: ZipMember) -> zipfile.ZipInfo:
    header = zipfile.ZipInfo(member.name, DATE)
    header.compress_type = zipfile.ZIP_DEFLATED if member.is_packed else zipfile.ZIP_STORED
    header.external_attr = PERMISSIONS
    header.file_size = member.size_bytes  # tells zipfile where the wide headers are needed
    return header


def _read_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
