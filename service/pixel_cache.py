"""A bounded folder of pixels, so that an image is decoded once for all rescans."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from uuid import uuid4

import structlog
import torch

from models.inference.pixel_entries import PixelEntry, from_bytes, to_bytes

log = structlog.get_logger()

LARGEST_SHARE = 0.25  # of the room on the disk, with what the cache has taken of it
SHARE_AFTER_PRUNING = 0.95
RECOUNT_SHARE = 0.05  # other processes add, too
# A rescan goes through the whole pool. If each new entry took the place of the oldest, a pool
# slightly larger than the cache would find none of its images when it comes round.
IN_USE_S = 3600.0
FULL_FOR_S = 60.0
TOUCH_EVERY_S = 600.0


class PixelCache:
    """
    Pixels by kind of entry and the image's digest.

    Any file may be deleted at any time, and several processes may share the folder. Entries that
    were used least recently make room for new ones, but none that was used within an hour: then
    new ones are not kept. A damaged entry counts as absent.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Keep at most `max_bytes`; 0 keeps nothing."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._uncounted = max_bytes  # bytes added since the last count
        self._room = 0
        self._full_until = 0.0

    def find(self, kind: str, sha256: str) -> PixelEntry | None:
        """Return the entry of an image, if it is there and whole."""
        path = self._path(kind, sha256)
        try:
            with path.open("rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                buffer = torch.empty(status.st_size, dtype=torch.uint8)
                is_whole = file.readinto(buffer.numpy().data) == status.st_size
            if time.time() - status.st_mtime > TOUCH_EVERY_S:
                os.utime(path)
        except OSError:
            return None
        entry = from_bytes(buffer) if is_whole else None
        if entry is None:
            log.warning("a damaged entry of the pixel cache is made again", sha256=sha256)
            with suppress(OSError):
                path.unlink()
        return entry

    def keep(self, kind: str, sha256: str, entry: PixelEntry) -> None:
        """Keep an entry if there is room; a full disk only costs time later."""
        if not self._has_room(entry.pixels.nbytes):
            return
        path = self._path(kind, sha256)
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(to_bytes(entry))
            unfinished.replace(path)
        except OSError as error:
            log.warning("pixels were not kept", reason=str(error))
            with suppress(OSError):
                unfinished.unlink()

    def delete(self, sha256: str) -> None:
        """Delete the entries of an image."""
        for path in self._folder.glob(f"*/{sha256[:2]}/{sha256}*"):
            with suppress(OSError):
                path.unlink()

    def _path(self, kind: str, sha256: str) -> Path:
        return self._folder / kind / sha256[:2] / sha256

    def _has_room(self, num_bytes: int) -> bool:
        """Take room for an entry, after making some where there is none."""
        with self._lock:
            if self._max_bytes == 0 or time.monotonic() < self._full_until:
                return False
            self._uncounted += num_bytes
            if self._uncounted > RECOUNT_SHARE * self._max_bytes or num_bytes > self._room:
                self._room, self._uncounted = self._count(num_bytes), num_bytes
            if num_bytes > self._room:
                self._full_until = time.monotonic() + FULL_FOR_S
                return False
            self._room -= num_bytes
            return True

    def _count(self, num_bytes: int) -> int:
        """Return the room there is, after deleting entries that have not been used for long."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        limit = min(self._max_bytes, int(LARGEST_SHARE * (total + _free_bytes(self._folder))))
        if total + num_bytes <= limit:
            return limit - total
        for used_at, size, path in files:
            if total + num_bytes <= SHARE_AFTER_PRUNING * limit:
                break
            if time.time() - used_at < IN_USE_S:
                break
            with suppress(OSError):
                path.unlink()
            total -= size
        return limit - total

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return time of use, size and path of every file."""
        found = []
        for path in self._folder.glob("*/*/*"):
            with suppress(FileNotFoundError):  # another process deletes, too
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found


def _free_bytes(folder: Path) -> int:
    """Return the room on the disk of a folder that need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
