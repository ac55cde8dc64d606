"""The thread of the server that makes thumbnails of the hardest images before anybody looks."""

import os
import sys
from collections.abc import Callable
from threading import Event, Thread, get_native_id

import structlog

from service.errors import ServiceError
from service.hard_negatives import store
from service.images.service import image_thumbnail
from service.scoring import store as score_store
from service.scoring.resources import Resources
from service.scoring.store import ScoredCounts
from service.thumbnails import KEPT_SIDES

NUM_IMAGES = 500  # about what a person looks at in one sitting; 75 MB of photographs
LOOK_EVERY_S = 3.0
STOP_TIMEOUT_S = 2.0
LOWEST_PRIORITY = 19

log = structlog.get_logger()


class ReadyThumbnails:
    """
    A thread that makes the thumbnails of the hardest images once all of the pool is scored.

    A gallery of large photographs then opens at once. The thread works on one image at a time, and
    on Linux only while nobody else needs the processor.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._seen: tuple[int, ScoredCounts] | None = None
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="ready-thumbnails", daemon=True)

    def start(self) -> None:
        if self._resources.settings.max_thumbnail_bytes > 0:
            self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)  # one image is harmless to leave

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere a thread has no priority of its own
            os.setpriority(os.PRIO_PROCESS, get_native_id(), LOWEST_PRIORITY)
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self._look()
            except Exception as error:  # the thread must outlive a database that is away
                log.error("thumbnails were not made, will try again", exc_info=error)

    def _look(self) -> None:
        """Make what is missing, unless the pool waits for scores or is as it was."""
        with self._resources.read_sessions.begin() as session:
            version = store.serving_version(session)
            if version is None:
                return
            counts = score_store.scored_counts(session, version.id, "pool")
        state = (version.id, counts)
        if counts.scored < counts.images or state == self._seen:
            return
        make_thumbnails_of_hardest(self._resources, version.id, self._stopping.is_set)
        self._seen = state


def make_thumbnails_of_hardest(
    resources: Resources, version_id: int, should_stop: Callable[[], bool]
) -> int:
    """Make the missing thumbnails of a version's hardest images, and return how many."""
    with resources.read_sessions.begin() as session:
        hardest = store.hardest_images(session, version_id, store.Filters(), None, NUM_IMAGES)
    num_made = 0
    for image in hardest:
        for side in KEPT_SIDES:
            if should_stop():
                return num_made
            if resources.thumbnails.has(str(image.columns["sha256"]), side):
                continue
            try:
                image_thumbnail(resources, image.id, side)
            except ServiceError:  # deleted meanwhile, or lost: whoever opens it is told so
                continue
            num_made += 1
    return num_made
