"""Durable storage of bytes by key, for images and checkpoints."""

import errno
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from service.errors import ServiceError, StorageFull

COPY_CHUNK_BYTES = 8 * 1024**2
LARGEST_RESERVE = 0.05  # of the disk: on a small one, the reserve of the settings would be all
NO_SPACE = (f"os error {errno.ENOSPC}", f"os error {errno.EDQUOT}")

log = structlog.get_logger()


class BlobMissing(FileNotFoundError):
    """A blob is not in the store; the text has its key, and no path of this machine."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the blob '{key}' is missing from the store")


class BlobStoreAway(ServiceError):
    """The store failed before it answered."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "blob-store-away"
    title = "The blob store does not answer"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the blob store failed on '{key}': try again later; the service's log has the reason"
        )


class StoredBlob(NamedTuple):
    """A blob as a listing shows it."""

    key: str
    size_bytes: int
    age_s: float


class BlobStore:
    """
    A folder or a bucket. `put` returns when the bytes would survive a power cut.

    Methods raise BlobMissing, BlobStoreAway, and StorageFull where the disk has no room beyond the
    reserve. A folder may be a symbolic link; links in it are not followed.
    """

    def __init__(self, url: str, min_free_bytes: int = 0) -> None:
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._min_free_bytes = min_free_bytes
        # Folders whose own names are durable. They are never deleted.
        self._synced_folders: set[Path] = set()
        self._store: ObjectStore = (
            LocalStore(self._folder, mkdir=True) if self._folder else from_url(url)
        )
        self._real_folder = os.path.realpath(self._folder) if self._folder else None

    def put(self, key: str, content: bytes | BinaryIO) -> None:
        with self._failures_named(key):
            self._require_room(key, _size_of(content))
            obstore.put(self._store, key, content)
            if self._folder:
                self._sync([self._folder / key])

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Put several blobs, by key, with one flush of each folder; all of them or none."""
        if not contents:
            return
        put: list[str] = []
        try:
            with self._failures_named(next(iter(contents))):
                self._require_room(next(iter(contents)), sum(map(len, contents.values())))
                for key, content in contents.items():
                    put.append(key)
                    obstore.put(self._store, key, content)
                if self._folder:
                    self._sync([self._folder / key for key in contents])
        except ServiceError:
            with suppress(ServiceError):
                for key in put:
                    self.delete(key)
            raise

    def is_full(self, size_bytes: int = 0) -> bool:
        """Return whether the disk has no such room beyond the reserve; a bucket always has."""
        if self._folder is None:
            return False
        disk = shutil.disk_usage(self._folder)
        reserve = min(self._min_free_bytes, int(LARGEST_RESERVE * disk.total))
        return disk.free - size_bytes < reserve

    def _require_room(self, key: str, size_bytes: int) -> None:
        if self.is_full(size_bytes):
            log.error("the disk is full up to the reserve", blob=key)
            raise StorageFull

    def _sync(self, paths: Sequence[Path]) -> None:
        """Flush files, and the folders above them up to the root."""
        assert self._folder is not None
        folders = {path.parent for path in paths}
        for path in paths:
            _sync(path)
        for folder in folders:
            _sync(folder)
        for folder in folders - self._synced_folders:
            while folder != self._folder:
                folder = folder.parent
                _sync(folder)
        self._synced_folders |= folders

    def get(self, key: str) -> bytes:
        """Return the bytes. Raises BlobMissing."""
        with self._failures_named(key):
            self._refuse_link(key)
            return bytes(obstore.get(self._store, key).bytes())

    def stream(self, key: str) -> Iterator[bytes]:
        """Return the bytes in chunks. Raises BlobMissing at once, not at the first chunk."""
        with self._failures_named(key):
            self._refuse_link(key)
            chunks = obstore.get(self._store, key).stream(min_chunk_size=COPY_CHUNK_BYTES)
        return (bytes(chunk) for chunk in chunks)

    def copy_to_file(self, key: str, path: Path) -> None:
        """Write the bytes to a file. Raises BlobMissing."""
        with path.open("wb") as file:
            for chunk in self.stream(key):
                file.write(chunk)

    def exists(self, key: str) -> bool:
        """Return whether a blob is there, without reading it."""
        try:
            with self._failures_named(key):
                self._refuse_link(key)
                obstore.head(self._store, key)
        except BlobMissing:
            return False
        return True

    def list_all(self) -> Iterator[StoredBlob]:
        """Yield all blobs, in any order; ages are by the store's clock against this machine's."""
        for page in obstore.list(self._store):
            for found in page:
                age_s = (datetime.now(UTC) - found["last_modified"]).total_seconds()
                yield StoredBlob(found["path"], found["size"], age_s)

    def delete(self, key: str) -> None:
        """Delete a blob; a missing one is no error."""
        with suppress(BlobMissing), self._failures_named(key):
            obstore.delete(self._store, key)

    def delete_all(self, folder: str) -> None:
        """Delete every blob whose key begins with `folder` and a slash."""
        with self._failures_named(folder):
            for page in obstore.list(self._store, folder):
                obstore.delete(self._store, [found["path"] for found in page])

    def _refuse_link(self, key: str) -> None:
        """Raise BlobMissing where a symbolic link stands for a blob or for a folder above it."""
        if self._real_folder is None or ".." in key.split("/"):  # the store refuses the latter
            return
        path = os.path.join(self._real_folder, key)
        if os.path.realpath(path) != path:
            log.error("a symbolic link in the blob folder is not followed", blob=key)
            raise BlobMissing(key)

    @contextmanager
    def _failures_named(self, key: str) -> Iterator[None]:
        """Turn the store's errors, which show paths of this machine, into ours."""
        try:
            yield
        except BlobMissing:
            raise
        except FileNotFoundError as error:
            raise BlobMissing(key) from error
        except (OSError, BaseError) as error:
            log.error("the blob store failed", blob=key, exc_info=error)
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(
                text in str(error) for text in NO_SPACE
            ):
                raise StorageFull from error
            raise BlobStoreAway(key) from error


def absent(blobs: BlobStore, keys: Collection[str]) -> set[str]:
    """Return the keys whose blobs are not in the store."""
    return {key for key in keys if not blobs.exists(key)}


def new_key(kind: str, digest: str, suffix: str = "") -> str:
    """
    Return a key that no other row shares, even one with the same bytes.

    Two uploads of the same bytes may cross with a delete of the first. If the digest alone were
    the key, the delete would take the bytes of the second, acknowledged upload.
    """
    return f"{kind}/{digest[:2]}/{digest}-{uuid4().hex[:12]}{suffix}"


def file_sha256(file: BinaryIO) -> str:
    digest = sha256()
    while chunk := file.read(COPY_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _size_of(content: bytes | BinaryIO) -> int:
    if isinstance(content, bytes):
        return len(content)
    position = content.tell()
    end = content.seek(0, os.SEEK_END)
    content.seek(position)
    return end - position


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
