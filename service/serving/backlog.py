"""The thread that scores stored images with the serving version."""

from collections import deque
from collections.abc import Iterator, Sequence
from threading import Event, Thread
from typing import Annotated

import structlog
from fastapi import Depends, Request

from service.scoring import store
from service.scoring.engine import LoadedVersion
from service.scoring.rescan import score_stored
from service.scoring.resources import Resources
from service.serving.activation import PAUSE_AFTER_FAILURE_S, VersionSwitch
from service.serving.sweep import Sweep
from service.tables import Image, ModelVersion

POLL_S = 1.0
MAX_ADDED = 10_000  # ids of uploads that wait; a sweep finds the images that this drops
PAGE = 256  # images of a sweep that one query reads

log = structlog.get_logger()


class _StopRequested(Exception):
    """A stop of the service, which gives up the images under way; a later sweep finds them."""


class Backlog:
    """
    A thread that follows the serving version and scores the images that it has not scored.

    Uploads whose client does not wait for a score come in by `add`. A sweep finds all others: when
    a version begins to serve, at start, and from time to time. So an image whose process died
    between storing and scoring it is scored by the process that sweeps next.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._scorer = resources.scorer
        self._added: deque[int] = deque(maxlen=MAX_ADDED)
        self._wake = Event()
        self._stopping = Event()
        self._switch = VersionSwitch(resources)
        self._sweep = Sweep()
        self._thread = Thread(target=self._run, name="backlog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, image_ids: Sequence[int]) -> None:
        """Score these images soon."""
        if image_ids:
            self._added.extend(image_ids)
            self._wake.set()

    def activate(self, version: ModelVersion) -> None:
        """
        Serve a version from now on, and score the stored images with it.

        Raises CheckpointError or FileNotFoundError; the old version goes on serving then.
        """
        self._switch.activate(version)
        self._wake.set()

    def close(self) -> None:
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self._switch.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._switch.follow()
                if not self._score_some():
                    self._wake.wait(POLL_S)
                    self._wake.clear()
            except _StopRequested:
                break
            except Exception as error:  # the thread must outlive a database that is away
                log.error("backlog failed, will try again", exc_info=error)
                self._sweep.repeat_soon()
                self._sweep.release()  # another process may not fail
                self._stopping.wait(PAUSE_AFTER_FAILURE_S)
        self._sweep.release()

    def _score_some(self) -> bool:
        """
        Score images until there are no more, or another version serves.

        Returns whether there were any.
        """
        version = self._scorer.serving
        if version is None:
            return False
        return score_stored(self._resources, version, self._windows(version)).num_images > 0

    def _windows(self, version: LoadedVersion) -> Iterator[Sequence[Image]]:
        """Yield images to score: those that were added, then those that the sweep finds."""
        found: list[Image] = []
        while not self._stopping.is_set() and self._scorer.serving is version:
            window = self._added_images()
            if not window:
                if not found:
                    found = list(self._sweep.next_images(self._resources, version.id, PAGE))
                window, found = found[: self._scorer.window], found[self._scorer.window :]
            if not window:
                return
            yield window
            self._switch.follow()
        if self._stopping.is_set():
            raise _StopRequested
        self._sweep.repeat_soon()  # images of `found` are left

    def _added_images(self) -> Sequence[Image]:
        ids: list[int] = []
        while self._added and len(ids) < self._scorer.window:
            ids.append(self._added.popleft())
        if not ids:
            return []
        with self._resources.read_sessions.begin() as session:
            return store.find_images(session, ids)


def get_backlog(request: Request) -> Backlog:
    backlog: Backlog = request.app.state.backlog
    return backlog


BacklogDep = Annotated[Backlog, Depends(get_backlog)]
