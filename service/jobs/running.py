"""A job in the hands of a worker: its lease, its progress, and why it may have to stop."""

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
from service.settings import Settings
from service.tables import Job

log = structlog.get_logger()


class Stopped(Exception):
    """The handler must end now; whatever it could save is saved."""


class JobCancelled(Stopped):
    """A client does not want the job any more."""


class WorkerStopping(Stopped):
    """The process ends; another one goes on with the job."""


class LeaseLost(Stopped):
    """Another worker may have the job: nothing that is written for it counts."""


class TransientError(Exception):
    """A failure that another attempt may not meet."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is; `first_done` is what a resumed stage began with."""

    stage: str = ""
    num_done: int = 0
    num_total: int | None = None
    first_done: int = 0


class RunningJob:
    """
    One attempt at a job, as its handler sees it.

    Used as a context, it keeps the lease from a thread of its own, which also writes the
    progress and sees when a client cancels: all three within about `beat_s`.
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
    ) -> None:
        self.id = job.id
        self.attempt = job.attempt
        self.params = job.params
        self.resume = job.resume  # what the last `save_resume` of any attempt has kept
        self.engine = engine
        self.sessions: Sessions = open_sessions(engine)
        self.read_sessions: Sessions = open_sessions(read_only(engine))
        self.blobs = blobs
        self.settings = settings
        self.stopping = stopping
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
        """Whether to end at once: cheap enough to ask at every step."""
        return self._stop_reason() is not None

    def raise_if_stopped(self) -> None:
        """Raises JobCancelled, WorkerStopping or LeaseLost."""
        reason = self._stop_reason()
        if reason is not None:
            raise reason

    def progress(self, stage: str, num_done: int, num_total: int | None = None) -> None:
        """Tell how far the work is; written with the next beat of the lease."""
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
        """Add a line to the job's history, in a transaction of `transaction`."""
        job = store.find_job(session, self.id)
        assert job is not None
        store.add_event(session, job, "log", message, data)

    def save_resume(self, resume: Mapping[str, object]) -> None:
        """Keep what the next attempt needs to go on from here. Raises LeaseLost."""
        self.write({"resume": dict(resume)})
        self.resume = dict(resume)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """
        A transaction that commits only while this attempt holds the job.

        Everything that a job writes goes through here. Raises LeaseLost.
        """
        with self.sessions.begin() as session:
            self._hold(session, {})
            yield session

    @property
    def fenced(self) -> Sessions:
        """Sessions whose every transaction is one of `transaction`, for code that opens its own."""
        return _FencedSessions(self)

    def write(self, values: Mapping[str, object]) -> None:
        """Change the job's row. Raises LeaseLost."""
        with self.sessions.begin() as session:
            self._hold(session, values)

    def release_in(self, session: Session, message: str, values: Mapping[str, object]) -> None:
        """End this attempt: `values` holds the new status. Raises LeaseLost."""
        progress = _columns(session, self._progress, self._written)
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
            raise LeaseLost(f"attempt {self.attempt} has lost job {self.id} to another worker")
        self._leased_at = started
        self._cancelled = job.cancel_requested
        return job

    def _stop_reason(self) -> Stopped | None:
        if not self._lost and time.monotonic() - self._leased_at > self._lease_s:
            # The thread that keeps the lease came not to its turn, or the database is away.
            self._beat(must_write=True)
            if time.monotonic() - self._leased_at > self._lease_s:
                self._lost = True
        if self._lost:
            return LeaseLost(f"attempt {self.attempt} has no lease on job {self.id} any more")
        if self._cancelled:
            return JobCancelled(f"job {self.id} was cancelled")
        if self.stopping.is_set():
            return WorkerStopping("the worker stops")
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
                        self._hold(session, _columns(session, progress, self._written))
                    self._written = progress
                else:
                    with self.read_sessions.begin() as session:
                        self._look(session)
            except LeaseLost as error:
                log.warning("lease lost", job=self.id, reason=str(error))
            except DBAPIError as error:
                log.warning("lease not renewed, will try again", job=self.id, exc_info=error)

    def _look(self, session: Session) -> None:
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


def _columns(session: Session, progress: Progress, written: Progress) -> dict[str, object]:
    values: dict[str, object] = {
        "stage": progress.stage,
        "num_done": progress.num_done,
        "num_total": progress.num_total,
        "stage_first_done": progress.first_done,
    }
    if progress.stage != written.stage:
        values["stage_started_at"] = store.now(session)
    return values
