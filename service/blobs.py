"""Durable storage of bytes by key, for images and checkpoints."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

COPY_CHUNK_BYTES = 8 * 1024**2


class BlobStore:
    """A folder or a bucket. `put` returns when the bytes would survive a power cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        # Folders whose own names are durable. They are never deleted.
        self._synced_folders: set[Path] = set()
        self._store: ObjectStore = (
            LocalStore(self._folder, mkdir=True) if self._folder else from_url(url)
        )

    def put(self, key: str, content: bytes | BinaryIO) -> None:
        obstore.put(self._store, key, content)
        if self._folder:
            self._sync([self._folder / key])

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Put several blobs, by key, with one flush of each folder."""
        for key, content in contents.items():
            obstore.put(self._store, key, content)
        if self._folder:
            self._sync([self._folder / key for key in contents])

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
        """Return the bytes. Raises FileNotFoundError."""
        return bytes(obstore.get(self._store, key).bytes())

    def stream(self, key: str) -> Iterator[bytes]:
        """Return the bytes in chunks. Raises FileNotFoundError at once, not at the first chunk."""
        chunks = obstore.get(self._store, key).stream(min_chunk_size=COPY_CHUNK_BYTES)
        return (bytes(chunk) for chunk in chunks)

    def copy_to_file(self, key: str, path: Path) -> None:
        """Write the bytes to a file. Raises FileNotFoundError."""
        with path.open("wb") as file:
            for chunk in self.stream(key):
                file.write(chunk)

    def delete(self, key: str) -> None:
        """Delete a blob; a missing one is no error."""
        with suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def delete_all(self, folder: str) -> None:
        """Delete every blob whose key begins with `folder` and a slash."""
        for page in obstore.list(self._store, folder):
            obstore.delete(self._store, [found["path"] for found in page])


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


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
