"""Help with the ranges of any scan, whichever process planned them."""

import time
from contextlib import ExitStack
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Engine

from service.blobs import BlobStore
from service.db import now_of, open_sessions, read_only
from service.jobs.running import Stopped, WorkerStopping
from service.locks import try_lock
from service.metrics import Metrics
from service.scans import store
from service.scans.planning import cut_into_ranges, range_size
from service.scans.store import IdRange, Scan
from service.scoring import store as score_store
from service.scoring.splits import SCORED_SPLITS
from service.serving.store import serving_version
from service.settings import Settings

if TYPE_CHECKING:
    from service.scoring.engine import LoadedVersion
    from service.scoring.resources import Resources

FEWEST_HELPED = 512  # images without a score: the service scores fewer in seconds by itself
SETTLED_AFTER = timedelta(seconds=5)  # an upload has scored its images itself by then
REPEAT_AFTER_S = 300.0  # images of ranges that failed get another chance

log = structlog.get_logger()


class ScanHelper:
    """
    The help of one process with scans: those of jobs first, then the service's own.

    The service scores with the version that serves in the order of the version before it. Its
    helpers begin at the images that were stored last, so they seldom meet.
    """

    def __init__(
        self,
        engine: Engine,
        blobs: BlobStore,
        settings: Settings,
        stopping: Event,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._blobs = blobs
        self._settings = settings
        self._stopping = stopping
        self._metrics = metrics
        self._sessions = open_sessions(engine)
        self._read_sessions = open_sessions(read_only(engine))
        self._opened = ExitStack()
        self._resources: Resources | None = None
        self._version: LoadedVersion | None = None
        self._repeats_at = 0.0

    def help_once(self) -> bool:
        """Score ranges of one scan until none is left to claim; return whether there was any."""
        with self._read_sessions.begin() as session:
            scan = store.find_open_scan(session)
        if scan is None:
            scan = self._plan_for_service()
        if scan is None:
            return False
        try:
            return self._work_on(scan)
        except Stopped:
            return False

    def close(self) -> None:
        """End the threads that decode and score."""
        self._opened.close()

    def _work_on(self, scan: Scan) -> bool:
        from service.scans.feed import RangeFeed
        from service.scans.scanning import load_for_scan

        resources = self._open_resources()
        if self._version is None or self._version.id != scan.version_id:
            self._version = None  # two detectors may not fit into memory
            self._version = load_for_scan(resources, scan.version_id)
        log.info("helping with a scan", job=scan.job_id, model_version=self._version.name)
        num_ranges = RangeFeed(resources, scan, self._version, self._raise_if_stopping).run()
        log.info("helped with a scan", job=scan.job_id, ranges=num_ranges)
        return num_ranges > 0

    def _open_resources(self) -> "Resources":
        if self._resources is None:
            from service.jobs.resources import worker_resources

            self._resources = self._opened.enter_context(
                worker_resources(
                    self._settings,
                    self._engine,
                    self._sessions,
                    self._blobs,
                    self._stopping,
                    self._metrics,
                )
            )
        return self._resources

    def _raise_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise WorkerStopping("the worker is stopping")

    def _plan_for_service(self) -> Scan | None:
        """Cut what the serving version has not scored, newest images first, if it is much."""
        with self._read_sessions.begin() as session:
            version = serving_version(session)
            if version is None:
                return None
            if score_store.count_unscored(session, version.id) < FEWEST_HELPED:
                return None
        scan = Scan(None, version.id)
        with try_lock(self._engine, "scan-plan") as held:
            if not held:
                return None
            ranges = self._new_ranges(scan)
            with self._sessions.begin() as session:
                store.delete_other_sweeps(session, version.id)
                store.add_ranges(session, scan, ranges[::-1])
        return scan if ranges else None

    def _new_ranges(self, scan: Scan) -> list[IdRange]:
        now = time.monotonic()
        if now >= self._repeats_at:
            self._repeats_at = now + REPEAT_AFTER_S
            with self._sessions.begin() as session:
                if not store.has_unfinished(session, scan):
                    store.delete_ranges(session, scan)
        with self._read_sessions.begin() as session:
            num_unscored = score_store.count_unscored(session, scan.version_id)
            settled = now_of(session) - SETTLED_AFTER
        chunks = cut_into_ranges(
            self._read_sessions,
            scan,
            SCORED_SPLITS,
            range_size(num_unscored),
            stored_before=settled,
            before_chunk=self._raise_if_stopping,
        )
        return [ids for chunk in chunks for ids in chunk]
