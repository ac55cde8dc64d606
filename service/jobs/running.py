"""A job that a worker runs: its lease, its progress, and the reasons to stop it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from service.blobs import BlobStore
from service.db import Sessions, open_sessions, read_only
from service.jobs import store
from service.metrics import Metrics
from service.settings import Settings
from service.tables import Job

log = structlog.get_logger()


class Stopped(Exception):
    """A reason for the job's function to end at once, after it has saved what it can."""


class JobCancelled(Stopped):
    """The reason to stop a job that a client has cancelled."""


class WorkerStopping(Stopped):
    """The reason to stop while the worker process ends; another worker resumes the job."""


class LeaseLost(Stopped):
    """The reason to stop once another worker may have claimed the job: no more writes commit."""


class TransientError(Exception):
    """A failure that another attempt may not meet."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a stage; a resumed stage began at `first_done`."""

    stage: str = ""
    num_done: int = 0
    num_total: int | None = None
    first_done: int = 0


class RunningJob:
    """
    One attempt at a job, as the function of its kind sees it.

    As a context manager it starts a thread that renews the lease, writes the progress and notices
    a client's cancellation, each within about `beat_s` seconds.

    Attributes:
        resume: the data that `save_resume` saved last, in this attempt or an earlier one.
        num_failures: attempts that have failed since the last one that made progress.
    """

    def __init__(
        self,
        engine: Engine,
        blobs: BlobStore,
        settings: Settings,
        job: Job,
        *,
        stopping: Event,
        lease_s: float,
        beat_s: float,
        metrics: Metrics | None = None,
    ) -> None:
        self.id = job.id
        self.kind = job.kind
        self.attempt = job.attempt
        self.params = job.params
        self.resume = job.resume
        self.num_failures = job.num_failures
        self.engine = engine
        self.sessions: Sessions = open_sessions(engine)
        self.read_sessions: Sessions = open_sessions(read_only(engine))
        self.blobs = blobs
        self.settings = settings
        self.stopping = stopping
        self.metrics = metrics or Metrics()
        self._lease_s = lease_s
        self._beat_s = beat_s
        self._leased_at = time.monotonic()
        self._cancelled = job.cancel_requested
        self._lost = False
        self._progress = self._written = Progress()
        self._beating = Lock()
        self._ended = Event()
        self._thread = Thread(target=self._keep_lease, name=f"lease-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def should_stop(self) -> bool:
        """Return whether to end at once; cheap enough to call at every training step."""
        return self._stop_reason() is not None

    def raise_if_stopped(self) -> None:
        """Do nothing, or raise JobCancelled, WorkerStopping or LeaseLost."""
        reason = self._stop_reason()
        if reason is not None:
            raise reason

    def progress(self, stage: str, num_done: int, num_total: int | None = None) -> None:
        """Report how far the work is; the next heartbeat of the lease writes it."""
        same = self._progress.stage == stage
        first = self._progress.first_done if same else num_done
        self._progress = Progress(stage, num_done, num_total, first)

    def log(self, message: str, data: Mapping[str, object] | None = None) -> None:
        """Add a line to the job's history. Raises LeaseLost."""
        with self.transaction() as session:
            self.log_in(session, message, data)

    def log_in(
        self, session: Session, message: str, data: Mapping[str, object] | None = None
    ) -> None:
        """Add a line to the job's history, within an open `transaction`."""
        job = store.find_job(session, self.id)
        assert job is not None
        store.add_event(session, job, "log", message, data)

    def save_resume(self, resume: Mapping[str, object]) -> None:
        """
        Save the data from which the next attempt resumes. Raises LeaseLost.

        It is progress: failed attempts before it no longer count.
        """
        self.write({"resume": dict(resume), "num_failures": 0})
        self.resume, self.num_failures = dict(resume), 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """
        Open a transaction that commits only while this attempt holds the job.

        A job writes everything through here. Raises LeaseLost.
        """
        with self.sessions.begin() as session:
            self._hold(session, {})
            yield session

    @property
    def fenced(self) -> Sessions:
        """Return sessions whose transactions are all `transaction`, for code that opens its own."""
        return _FencedSessions(self)

    def write(self, values: Mapping[str, object]) -> None:
        """Change the job's row. Raises LeaseLost."""
        with self.sessions.begin() as session:
            self._hold(session, values)

    def release_in(self, session: Session, message: str, values: Mapping[str, object]) -> None:
        """End this attempt, with the job's new status in `values`. Raises LeaseLost."""
        progress = _progress_columns(session, self._progress, self._written)
        job = self._hold(session, {**progress, "lease_until": None, "worker": None, **values})
        store.add_event(session, job, "state", message, {"status": job.status})

    def _hold(self, session: Session, values: Mapping[str, object]) -> Job:
        lease_until = store.now(session) + timedelta(seconds=self._lease_s)
        started = time.monotonic()
        job = store.update_held(
            session, self.id, self.attempt, {"lease_until": lease_until, **values}
        )
        if job is None:
            self._lost = True
            raise LeaseLost(f"attempt {self.attempt} lost job {self.id} to another worker")
        self._leased_at = started
        self._cancelled = job.cancel_requested
        return job

    def _stop_reason(self) -> Stopped | None:
        if not self._lost and time.monotonic() - self._leased_at > self._lease_s:
            # The thread that renews the lease did not run in time, or the database is down.
            self._beat(must_write=True)
            if time.monotonic() - self._leased_at > self._lease_s:
                self._lost = True
        if self._lost:
            return LeaseLost(f"attempt {self.attempt} no longer holds the lease of job {self.id}")
        if self._cancelled:
            return JobCancelled(f"job {self.id} was cancelled")
        if self.stopping.is_set():
            return WorkerStopping("the worker is stopping")
        return None

    def _keep_lease(self) -> None:
        while not self._ended.wait(self._beat_s) and not self._lost:
            must_write = time.monotonic() - self._leased_at > self._lease_s / 4
            self._beat(must_write=must_write)

    def _beat(self, *, must_write: bool) -> None:
        with self._beating:
            progress = self._progress
            try:
                if must_write or progress != self._written:
                    with self.sessions.begin() as session:
                        self._hold(session, _progress_columns(session, progress, self._written))
                    self._written = progress
                else:
                    with self.read_sessions.begin() as session:
                        self._check_lease(session)
            except LeaseLost as error:
                log.warning("lease lost", job=self.id, reason=str(error))
            except DBAPIError as error:
                log.warning("lease not renewed, trying again", job=self.id, exc_info=error)

    def _check_lease(self, session: Session) -> None:
        job = store.find_job(session, self.id)
        if job is None or job.attempt != self.attempt:
            self._lost = True
        else:
            self._cancelled = job.cancel_requested


class _FencedSessions(Sessions):
    def __init__(self, job: RunningJob) -> None:
        super().__init__(job.engine, expire_on_commit=False)
        self._job = job

    def begin(self) -> AbstractContextManager[Session]:
        return self._job.transaction()


def _progress_columns(session: Session, progress: Progress, written: Progress) -> dict[str, object]:
    values: dict[str, object] = {
        "stage": progress.stage,
        "num_done": progress.num_done,
        "num_total": progress.num_total,
        "stage_first_done": progress.first_done,
    }
    if progress.stage != written.stage:
        values["stage_started_at"] = store.now(session)
    return values
