"""The search for images that a version has not scored."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta

from sqlalchemy import Engine

from service.db import now_of
from service.locks import try_lock
from service.scoring import store
from service.scoring.resources import Resources
from service.scoring.splits import RANKED_SPLIT
from service.serving import store as serving_store
from service.serving.rescan_order import images_by_id, images_in_order
from service.tables import Image
from service.webhooks.outbox import emit

FULL_SWEEP_EVERY_S = 300.0
LOOK_EVERY_S = 2.0
SETTLED_AFTER = timedelta(seconds=5)  # an upload has scored its images itself by then

Pages = Iterator[Sequence[Image]]


class Sweep:
    """
    A search for images that one version has not scored.

    A full sweep looks through all images, every few minutes, in the order of `images_in_order`.
    Between full sweeps it only looks at images stored since, for instance by an import, but not at
    the newest: an upload may be scoring those itself. Only the process that holds a lock sweeps.
    """

    def __init__(self) -> None:
        self._version_id: int | None = None
        self._pages: Pages | None = None
        self._is_full = False
        self._after_id = 0  # what is stored later is left to the next sweep that is not full
        self._next_at = 0.0
        self._next_full_at = 0.0
        self._repeats_soon = False
        self._lock = ExitStack()
        self._holds_lock = False
        self._has_told = False  # that the version has scored the whole pool

    def next_images(self, resources: Resources, version_id: int, limit: int) -> Sequence[Image]:
        """Return the next images without a score; none if it is too early, or at the end."""
        now = time.monotonic()
        if version_id != self._version_id:
            self._version_id, self._next_at, self._next_full_at = version_id, 0.0, 0.0
            self._pages, self._has_told = None, False
        if now < self._next_at or not self._take_lock(resources.engine):
            return []
        if self._pages is None:
            self._is_full = now >= self._next_full_at
            self._pages = self._begin(resources, version_id, limit)
        images = next(self._pages, [])
        if not images:
            if not self._has_told:
                self._has_told = emit_if_scored(resources, version_id)
            self._end(now)
        elif not self._is_full:
            self._after_id = images[-1].id
        return images

    def repeat_soon(self) -> None:
        """Make the next sweep a full one: images that were returned may have got no score."""
        self._repeats_soon = True

    def release(self) -> None:
        """Let another process sweep."""
        self._holds_lock = False
        self._lock.close()

    def _begin(self, resources: Resources, version_id: int, limit: int) -> Pages:
        sessions = resources.read_sessions
        if not self._is_full:
            with sessions.begin() as session:
                settled = now_of(session) - SETTLED_AFTER
            return images_by_id(
                sessions, version_id, limit, after_id=self._after_id, stored_before=settled
            )
        with sessions.begin() as session:
            self._after_id = store.newest_image_id(session)
        return images_in_order(sessions, version_id, limit)

    def _end(self, now: float) -> None:
        self._pages = None
        if self._is_full:
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


def emit_if_scored(resources: Resources, version_id: int) -> bool:
    """
    Tell other systems, once for each activation, that a version has scored the whole pool.

    Returns whether it has.
    """
    with resources.read_sessions.begin() as session:
        counts = store.scored_counts(session, version_id, RANKED_SPLIT)
        activation_id = serving_store.last_activation_id(session)
    if counts.images == 0 or counts.scored < counts.images:
        return False
    with resources.sessions.begin() as session:
        emit(
            session,
            "pool-scored",
            f"model version {version_id}",
            {"num_images": counts.images},
            once_for=f"activation {activation_id}",
        )
    return True
