"""The search for images that a version has not scored."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from sqlalchemy import Engine

from service.locks import try_lock
from service.scoring import store
from service.scoring.resources import Resources
from service.tables import Image, utc_now

FULL_SWEEP_EVERY_S = 300.0
LOOK_EVERY_S = 2.0
SETTLED_AFTER = timedelta(seconds=5)  # an upload has scored its images itself by then
RANGE = 100_000  # ids that one transaction looks through, in about 0.1 s


class Sweep:
    """
    A search for images that one version has not scored, in order of id.

    A full sweep looks through all images, every few minutes. Between full sweeps it only looks at
    images stored since, for instance by an import, but not at the newest: an upload may be scoring
    those itself. Only the process that holds a lock sweeps.
    """

    def __init__(self) -> None:
        self._version_id: int | None = None
        self._after_id = 0
        self._is_full = True
        self._next_at = 0.0
        self._next_full_at = 0.0
        self._repeats_soon = False
        self._lock = ExitStack()
        self._holds_lock = False

    def next_images(self, resources: Resources, version_id: int, limit: int) -> Sequence[Image]:
        """Return the next images without a score; none if it is too early, or at the end."""
        now = time.monotonic()
        if version_id != self._version_id:
            self._version_id, self._next_at, self._next_full_at = version_id, 0.0, 0.0
            self._is_full = False
        if now < self._next_at or not self._take_lock(resources.engine):
            return []
        if not self._is_full and now >= self._next_full_at:
            self._after_id, self._is_full = 0, True
        while True:
            with resources.read_sessions.begin() as session:
                newest_id = store.newest_image_id(session)
                until_id = self._after_id + RANGE if self._is_full else newest_id
                images = store.unscored_images(
                    session,
                    version_id,
                    after_id=self._after_id,
                    until_id=until_id,
                    limit=limit,
                    stored_before=None if self._is_full else utc_now() - SETTLED_AFTER,
                )
            if images:
                self._after_id = images[-1].id
                return images
            if until_id >= newest_id:
                self._end(now, newest_id)
                return []
            self._after_id = until_id

    def repeat_soon(self) -> None:
        """Make the next sweep a full one: images that were returned may have got no score."""
        self._repeats_soon = True

    def release(self) -> None:
        """Let another process sweep."""
        self._holds_lock = False
        self._lock.close()

    def _end(self, now: float, newest_id: int) -> None:
        if self._is_full:
            self._after_id, self._is_full = newest_id, False
            self._next_full_at = now + FULL_SWEEP_EVERY_S
        if self._repeats_soon:
            self._next_full_at, self._repeats_soon = now, False
        self._next_at = now + LOOK_EVERY_S
        self.release()

    def _take_lock(self, engine: Engine) -> bool:
        if not self._holds_lock:
            self._holds_lock = self._lock.enter_context(try_lock(engine, "sweep"))
            if not self._holds_lock:
                self._lock.close()
        return self._holds_lock
