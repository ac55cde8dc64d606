"""The worker: claims jobs, runs them and saves their results; no HTTP."""

import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING

import structlog
from obstore.exceptions import GenericError
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from service import migrate
from service.blobs import BlobStore, BlobStoreAway
from service.db import open_engine, open_sessions, read_only
from service.errors import DatabaseAway, StorageFull, fault_of
from service.jobs import store
from service.jobs.kind import JobKind
from service.jobs.leftovers import delete_leftovers
from service.jobs.running import (
    JobCancelled,
    LeaseLost,
    RunningJob,
    TransientError,
    WorkerStopping,
)
from service.locks import try_lock
from service.logs import set_up_logs
from service.metrics import Metrics, metrics_shown
from service.scans.job import SCAN
from service.settings import Settings
from service.stderr_lines import all_lines_logged
from service.tables import Job
from service.text import without_folders
from service.traces import span, traces_sent
from service.webhooks.outbox import emit
from service.worker.kinds import KINDS

if TYPE_CHECKING:
    from service.scans.helping import ScanHelper

LEASE_S = 60.0  # the thread that renews it shares the interpreter's lock with the training
BEAT_S = 1.0
POLL_S = 1.0
PAUSE_AFTER_ERROR_S = 5.0
RETRY_AFTER_S = 10.0
POOL_SIZE = 3  # many workers share one Postgres

# Another attempt may succeed after one of these; any other error would recur.
TRANSIENT_ERRORS = (
    TransientError,
    OSError,
    MemoryError,
    OperationalError,
    InterfaceError,
    GenericError,
    BlobStoreAway,
    DatabaseAway,
    StorageFull,
)

log = structlog.get_logger()


class Worker:
    """A worker that runs one job of each lane at a time, until `stopping` is set."""

    def __init__(
        self,
        engine: Engine,
        blobs: BlobStore,
        settings: Settings,
        kinds: Sequence[JobKind],
        stopping: Event,
        *,
        lease_s: float = LEASE_S,
        beat_s: float = BEAT_S,
        poll_s: float = POLL_S,
        retry_after_s: float = RETRY_AFTER_S,
        metrics: Metrics | None = None,
        helper: "ScanHelper | None" = None,
        exit_when_idle_s: float | None = None,
    ) -> None:
        """
        Make a worker for some kinds of jobs.

        Args:
            engine: the database.
            blobs: the store of blobs.
            settings: the settings.
            kinds: the kinds of jobs to run.
            stopping: stops the worker once it is set.
            lease_s: time without a sign of life after which other workers take over a job.
            beat_s: time between two signs of life.
            poll_s: time between two looks for a job.
            retry_after_s: pause after the first failure of a job.
            metrics: what the worker counts.
            helper: helps with the scans of other processes while the lane of scans has no job.
            exit_when_idle_s: time without work after which the worker stops; None for never.
        """
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._engine = engine
        self._sessions = open_sessions(engine)
        self._read_sessions = open_sessions(read_only(engine))
        self._blobs = blobs
        self._settings = settings
        self._kinds = {kind.name: kind for kind in kinds}
        self._stopping = stopping
        self._lease_s = lease_s
        self._beat_s = beat_s
        self._poll_s = poll_s
        self._retry_after_s = retry_after_s
        self._metrics = metrics or Metrics()
        self._helper = helper
        self._exit_when_idle_s = exit_when_idle_s
        self._busy_lanes: set[str] = set()
        self._busy_at = time.monotonic()

    def run(self) -> None:
        """Run until `stopping` is set and every running job is saved and back in the queue."""
        lanes = sorted({kind.lane for kind in self._kinds.values()})
        threads = [Thread(target=self._work_lane, args=[lane], name=lane) for lane in lanes]
        for thread in threads:
            thread.start()
        while (
            not self._stopping.is_set()
        ):  # no wait(): a signal handler of this thread sets the event
            time.sleep(0.1)
            if self._is_idle():
                log.info("no work, the worker ends", idle_s=self._exit_when_idle_s)
                self._stopping.set()
        for thread in threads:
            thread.join()

    def work_once(self, lane: str) -> bool:
        """Run a lane's next job to its end; return whether there was one for this worker."""
        with self._read_sessions.begin() as session:
            dead_before = store.dead_before(session, self._lease_s)
            if not store.has_claimable(session, lane, dead_before=dead_before):
                return False
        # A lease only guesses by time whether a worker is alive; the kernel frees this lock at
        # its death.
        with try_lock(self._engine, f"jobs-{lane}") as held:
            job = self._claim(lane) if held else None
            if job is not None:
                self._work(job)
        return job is not None

    def _work_lane(self, lane: str) -> None:
        while not self._stopping.is_set():
            self._busy_lanes.add(lane)
            try:
                worked = self.work_once(lane) or self._help(lane)
            except Exception as error:  # the worker survives an outage of the database
                log.error("worker failed, trying again", lane=lane, exc_info=error)
                self._stopping.wait(PAUSE_AFTER_ERROR_S)
                continue
            if worked:
                self._busy_at = time.monotonic()
            self._busy_lanes.discard(lane)
            if not worked:
                self._stopping.wait(self._poll_s)

    def _help(self, lane: str) -> bool:
        return self._helper is not None and lane == SCAN.lane and self._helper.help_once()

    def _is_idle(self) -> bool:
        if self._exit_when_idle_s is None or self._busy_lanes:
            return False
        return time.monotonic() - self._busy_at > self._exit_when_idle_s

    def _claim(self, lane: str) -> Job | None:
        with self._sessions.begin() as session:
            dead_before = store.dead_before(session, self._lease_s)
            job = store.claim(session, lane, self.name, self._lease_s, dead_before=dead_before)
            if job is not None:
                if store.was_running(session, job.id):
                    self._metrics.lease_expiries.labels("job").inc()
                message = f"started by worker {self.name} (attempt {job.attempt})"
                store.add_event(session, job, "state", message, {"status": job.status})
        return job

    def _work(self, job: Job) -> None:
        running = RunningJob(
            self._engine,
            self._blobs,
            self._settings,
            job,
            stopping=self._stopping,
            lease_s=self._lease_s,
            beat_s=self._beat_s,
            metrics=self._metrics,
        )
        log.info("job started", job=job.id, kind=job.kind, attempt=job.attempt)
        try:
            self._run(running, job)
        except LeaseLost as error:
            log.warning("job lost to another worker", job=job.id, reason=str(error))

    def _run(self, running: RunningJob, job: Job) -> None:
        """Run an attempt, and save how it ended. Raises LeaseLost."""
        if job.num_failures >= job.max_failures:
            self._fail(running, job, f"the worker died; {job.num_failures} attempts have failed")
            return
        try:
            running.raise_if_stopped()
            kind = self._kinds.get(job.kind)
            if kind is None:
                raise ValueError(f"this worker does not know the job kind '{job.kind}'")
            with running, span(f"job {job.kind}", job=job.id, attempt=job.attempt):
                result = kind.run(running)
        except LeaseLost:
            raise
        except JobCancelled:
            self._finish(running, "cancelled", "cancelled")
        except WorkerStopping:
            self._return_to_queue(running, "returned to the queue: the worker is stopping", {})
        except Exception as error:
            log.error("job failed", job=job.id, kind=job.kind, exc_info=error)
            self._fail_or_retry(running, job, error)
        else:
            self._finish(running, "done", "done", {"result": dict(result), "failure": None})

    def _fail_or_retry(self, running: RunningJob, job: Job, error: Exception) -> None:
        reason = _reason(error)
        num_failures = running.num_failures + 1
        if not isinstance(error, TRANSIENT_ERRORS) or num_failures >= job.max_failures:
            self._fail(running, job, reason, num_failures)
            return
        pause_s = self._retry_after_s * 2 ** (num_failures - 1)
        self._return_to_queue(
            running,
            f"failed, next attempt in {pause_s:.0f} s: {reason}",
            {"num_failures": num_failures, "failure": reason},
            pause_s,
        )

    def _fail(
        self, running: RunningJob, job: Job, reason: str, num_failures: int | None = None
    ) -> None:
        values = {"failure": reason, "num_failures": num_failures or job.num_failures}
        self._finish(running, "failed", f"failed: {reason}", values)

    def _finish(
        self,
        running: RunningJob,
        status: str,
        message: str,
        values: dict[str, object] | None = None,
    ) -> None:
        with self._sessions.begin() as session:
            finished_at = store.now(session)
            running.release_in(
                session, message, {"status": status, "finished_at": finished_at, **(values or {})}
            )
            store.delete_scan_ranges(session, running.id)
            if status == "failed":
                data = {"kind": running.kind, "reason": (values or {}).get("failure")}
                emit(session, "job-failed", f"job {running.id}", data)
        delete_leftovers(self._blobs, running.params, running.resume)
        log.info("job finished", job=running.id, status=status)

    def _return_to_queue(
        self, running: RunningJob, message: str, values: dict[str, object], pause_s: float = 0.0
    ) -> None:
        with self._sessions.begin() as session:
            not_before = store.now(session) + timedelta(seconds=pause_s)
            running.release_in(
                session, message, {"status": "todo", "not_before": not_before, **values}
            )
        log.info("job returned to the queue", job=running.id)


def _reason(error: Exception) -> str:
    """Return the sentence that clients see, without paths of this machine and without SQL."""
    fault = fault_of(error)
    if fault is not None:
        return fault.detail
    return f"{type(error).__name__}: {without_folders(str(error))}"


def run_worker(
    settings: Settings,
    stopping: Event | None = None,
    *,
    lanes: Sequence[str] = (),
    exit_when_idle_s: float | None = None,
) -> None:
    """
    Run jobs until SIGTERM, SIGINT or `stopping`, then save the running jobs and return.

    Call it from the main thread: only that one can handle signals.

    Args:
        settings: the settings.
        stopping: an event that stops the worker, besides the signals.
        lanes: run only jobs of these lanes; with "scan" among them, help with the scans of other
            processes, too.
        exit_when_idle_s: return after so long without work.
    """
    set_up_logs(settings.log_level, settings.log_format)
    stopping = stopping or Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with all_lines_logged() if settings.log_format == "json" else nullcontext():
        engine = open_engine(settings.sqlalchemy_url, pool_size=POOL_SIZE)
        migrate.upgrade(engine)
        blobs = BlobStore(settings.blob_store_url, settings.min_free_bytes)
        metrics = Metrics()
        helper = None
        if SCAN.lane in lanes:
            from service.scans.helping import ScanHelper  # loads torch

            helper = ScanHelper(engine, blobs, settings, stopping, metrics)
        worker = Worker(
            engine,
            blobs,
            settings,
            [kind for kind in KINDS if not lanes or kind.lane in lanes],
            stopping,
            metrics=metrics,
            helper=helper,
            exit_when_idle_s=exit_when_idle_s,
        )
        with metrics_shown(settings, metrics), traces_sent(settings):
            log.info("worker ready", worker=worker.name)
            worker.run()
        if helper is not None:
            helper.close()
        engine.dispose()
