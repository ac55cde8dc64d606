"""Keeps the scorer on the serving version, and scores whatever that version has not seen."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Event, Lock, Thread
from typing import Annotated

import structlog
from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from service.locks import try_lock
from service.scoring import store
from service.scoring.engine import LoadedVersion
from service.scoring.rescan import score_stored
from service.scoring.resources import Resources
from service.serving import store as serving_store
from service.serving.loading import compile_version, is_worth_compiling, load_version
from service.tables import Image, ModelVersion, utc_now

POLL_S = 1.0
PAUSE_AFTER_FAILURE_S = 5.0
SWEEP_EVERY_S = 300.0
LOOK_EVERY_S = 2.0
SETTLED_AFTER = timedelta(seconds=5)
RANGE = 100_000  # ids that a sweep looks through in one transaction, of about 0.1 s
MAX_ADDED = 10_000  # ids of uploads that wait; a sweep finds those before
PAGE = 256  # images of a sweep that are read from the database at once

log = structlog.get_logger()


class _Stopping(Exception):
    """Gives up what is under way: a sweep finds it again."""


class Backlog:
    """
    A thread that works down the images without a score by the serving version.

    A sweep runs when a version begins to serve, at start and now and then; so an image whose
    process died between storing and scoring is scored by whichever process sweeps next. One
    process sweeps at a time. Uploads that ask for no score in their answer come in by `add`.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._scorer = resources.scorer
        self._read_sessions = resources.read_sessions
        self._added: deque[int] = deque(maxlen=MAX_ADDED)
        self._wake = Event()
        self._stopping = Event()
        self._loading = Lock()
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._compiled: LoadedVersion | None = None  # or on its way, or refused
        self._sweep = _Sweep()
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
        Load a version beside the old one, record that it serves, and swap it in.

        Raises CheckpointError, and the old version goes on serving.
        """
        with self._loading:
            loaded = self._load(version)
            with self._resources.sessions.begin() as session:
                serving_store.add_activation(session, version.id)
            self._scorer.swap(loaded)
        self._wake.set()

    def close(self) -> None:
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self._compiler.shutdown(cancel_futures=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow_serving_version()
                if not self._score_some():
                    self._wake.wait(POLL_S)
                    self._wake.clear()
            except _Stopping:
                break
            except Exception as error:  # the thread outlives a database that is away
                log.error("backlog failed, will try again", exc_info=error)
                self._sweep.go_through_all_soon()
                self._sweep.release()  # another process may be able to
                self._stopping.wait(PAUSE_AFTER_FAILURE_S)
        self._sweep.release()

    def _follow_serving_version(self) -> None:
        """Load what another process, or an earlier life of this one, has activated."""
        with self._loading:
            with self._read_sessions.begin() as session:
                version = serving_store.serving_version(session)
                compiles = is_worth_compiling(self._resources.settings, session)
            if version is None:
                return
            if self._is_loaded(version):
                if compiles:
                    self._compile_soon(version)
                return
            try:
                self._scorer.swap(self._load(version))
            except DBAPIError:  # /readyz tells of a database that is away
                raise
            except Exception as error:
                self._scorer.loading_failure = str(error).partition("\n")[0]
                raise
            log.info("serving", model_version=version.name)

    def _is_loaded(self, version: ModelVersion) -> bool:
        serving = self._scorer.serving
        return serving is not None and serving.id == version.id

    def _load(self, version: ModelVersion) -> LoadedVersion:
        serving = self._scorer.serving
        if serving is not None and serving.id == version.id:
            return serving
        return load_version(self._resources, version)

    def _compile_soon(self, version: ModelVersion) -> None:
        """Beside all else; `_loading` is held."""
        serving = self._scorer.serving
        if serving is not None and serving is not self._compiled:
            self._compiled = serving
            self._compiler.submit(self._compile, version, serving)

    def _compile(self, version: ModelVersion, serving: LoadedVersion) -> None:
        if self._scorer.serving is not serving:
            return
        try:
            compiled = compile_version(self._resources, serving, version)
        except Exception as error:  # what is stored is out of reach
            log.error("a version is not compiled, will try again", exc_info=error)
            self._stopping.wait(PAUSE_AFTER_FAILURE_S)
            self._compiled = None
            return
        with self._loading:
            if self._scorer.serving is serving:
                self._scorer.swap(compiled)
                self._compiled = compiled

    def _score_some(self) -> bool:
        """Score what there is, until it ends or another version serves; whether there was any."""
        version = self._scorer.serving
        if version is None:
            return False
        taken = score_stored(self._resources, version, self._windows(version))
        return taken.num_images > 0

    def _windows(self, version: LoadedVersion) -> Iterator[Sequence[Image]]:
        """Images to score: those that were added, then those of the sweep."""
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
            self._follow_serving_version()
        if self._stopping.is_set():
            raise _Stopping
        self._sweep.go_through_all_soon()  # for what was found and not scored

    def _added_images(self) -> Sequence[Image]:
        ids: list[int] = []
        while self._added and len(ids) < self._scorer.window:
            ids.append(self._added.popleft())
        if not ids:
            return []
        with self._read_sessions.begin() as session:
            return store.find_images(session, ids)


class _Sweep:
    """
    Goes through the images that one version has not scored, in order of id.

    Once through all of them now and then, and meanwhile through what was stored since, for
    instance by an import: but not through the newest, which an upload may be scoring itself.
    """

    def __init__(self) -> None:
        self._version_id: int | None = None
        self._after_id = 0
        self._takes_all = True
        self._next_at = 0.0
        self._next_full_at = 0.0
        self._is_soon = False
        self._lock = ExitStack()
        self._holds_lock = False

    def next_images(self, resources: Resources, version_id: int, limit: int) -> Sequence[Image]:
        now = time.monotonic()
        if version_id != self._version_id:
            self._version_id, self._next_at, self._next_full_at = version_id, 0.0, 0.0
            self._takes_all = False
        if now < self._next_at or not self._take_lock(resources.engine):
            return []
        if not self._takes_all and now >= self._next_full_at:
            self._after_id, self._takes_all = 0, True
        while True:
            with resources.read_sessions.begin() as session:
                newest_id = store.newest_image_id(session)
                until_id = self._after_id + RANGE if self._takes_all else newest_id
                images = store.unscored_images(
                    session,
                    version_id,
                    after_id=self._after_id,
                    until_id=until_id,
                    limit=limit,
                    stored_before=None if self._takes_all else utc_now() - SETTLED_AFTER,
                )
            if images:
                self._after_id = images[-1].id
                return images
            if until_id >= newest_id:
                self._end(now, newest_id)
                return []
            self._after_id = until_id

    def go_through_all_soon(self) -> None:
        """Some of the images that were given out may have no score: once more after this time."""
        self._is_soon = True

    def _end(self, now: float, newest_id: int) -> None:
        if self._takes_all:
            self._after_id, self._takes_all = newest_id, False
            self._next_full_at = now + SWEEP_EVERY_S
        if self._is_soon:
            self._next_full_at, self._is_soon = now, False
        self._next_at = now + LOOK_EVERY_S
        self.release()

    def release(self) -> None:
        self._holds_lock = False
        self._lock.close()

    def _take_lock(self, engine: Engine) -> bool:
        if not self._holds_lock:
            self._holds_lock = self._lock.enter_context(try_lock(engine, "sweep"))
            if not self._holds_lock:
                self._lock.close()
        return self._holds_lock


def get_backlog(request: Request) -> Backlog:
    backlog: Backlog = request.app.state.backlog
    return backlog


BacklogDep = Annotated[Backlog, Depends(get_backlog)]
