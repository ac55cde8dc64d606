"""A bounded folder of thumbnails, so that an image is decoded once for each size."""

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from uuid import uuid4

import structlog

log = structlog.get_logger()

KEPT_SIDES = (384, 1024)  # of a card in a gallery, and of an image that fills a screen
SHARE_AFTER_PRUNING = 0.9


class ThumbnailStore:
    """
    Thumbnails by the image's digest and their longest side.

    It is a cache: any file may be deleted at any time. Several processes may share the folder; each
    deletes the files that were used least recently when it sees more than `max_bytes`.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Keep at most `max_bytes`; 0 keeps nothing."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._total: int | None = None  # counted when the first thumbnail is kept
        self._lock = Lock()

    def has(self, sha256: str, side: int) -> bool:
        """Return whether a thumbnail is kept, without using it."""
        return self._path(sha256, side).is_file()

    def find(self, sha256: str, side: int) -> bytes | None:
        """Return a thumbnail, if it is kept."""
        path = self._path(sha256, side)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return content

    def keep(self, sha256: str, side: int, content: bytes) -> None:
        """Keep a thumbnail of one of the `KEPT_SIDES`; a full disk only costs time later."""
        if side not in KEPT_SIDES or len(content) > self._max_bytes:
            return
        path = self._path(sha256, side)
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(content)
            unfinished.replace(path)
        except OSError as error:
            log.warning("a thumbnail was not kept", reason=str(error))
            with suppress(OSError):
                unfinished.unlink()
            return
        self._count(len(content))

    def delete(self, sha256: str) -> None:
        """Delete the thumbnails of an image."""
        for side in KEPT_SIDES:
            with suppress(OSError):
                self._path(sha256, side).unlink()

    def _path(self, sha256: str, side: int) -> Path:
        return self._folder / sha256[:2] / f"{sha256}-{side}.jpg"

    def _count(self, added: int) -> None:
        with self._lock:
            if self._total is None:
                self._total = sum(size for _, size, _ in self._files())
            else:
                self._total += added
            if self._total > self._max_bytes:
                self._total = self._prune()

    def _prune(self) -> int:
        """Delete the files used least recently, and return the size of the rest."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= SHARE_AFTER_PRUNING * self._max_bytes:
                break
            with suppress(OSError):
                path.unlink()
            total -= size
        return total

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return time of use, size and path of every file."""
        found = []
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # another process deletes, too
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found
