"""Kinds of jobs for tests, and a worker process that tests can kill."""

import signal
import time
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Event

from pydantic import BaseModel
from sqlalchemy import Engine, update

from hardneg.schemas.jobs import JobDetail
from service.blobs import BlobStore
from service.db import open_engine, open_sessions
from service.jobs import service, store
from service.jobs.kind import JobKind
from service.jobs.running import RunningJob
from service.settings import Settings
from service.tables import Job, utc_now
from service.worker.kinds import KINDS
from service.worker.loop import Worker
from tests.service.processes import start_process

Run = Callable[[RunningJob], Mapping[str, object]]


class CountParams(BaseModel):
    """How to count: up to `to`, with a pause after each number, which goes to the file `out`."""

    to: int
    out: str
    pause_s: float = 0.0


def count(job: RunningJob) -> Mapping[str, object]:
    params = CountParams.model_validate(job.params)
    number = 0
    if job.resume is not None:
        kept = job.resume["number"]
        assert isinstance(kept, int)
        number = kept
    while number < params.to:
        job.raise_if_stopped()
        number += 1
        with Path(params.out).open("a") as file:
            file.write(f"{job.attempt} {number}\n")
        job.save_resume({"number": number})
        job.progress("counting", number, params.to)
        time.sleep(params.pause_s)
    return {"counted": number}


COUNT = JobKind("count", "counting", count)


class NoParams(BaseModel):
    """The parameters of a job that needs none."""


class Jobs:
    """One database with its jobs, as clients and workers see it."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.folder = folder
        self.settings = Settings(data_dir=folder, database_url=database_url)
        self.blobs = BlobStore(self.settings.blob_store_url)
        self.engine = open_engine(database_url)
        self.sessions = open_sessions(self.engine)

    def enqueue(self, kind: JobKind, params: BaseModel | None = None) -> int:
        with self.sessions.begin() as session:
            return service.enqueue(session, kind, params or NoParams()).id

    def show(self, job_id: int) -> JobDetail:
        with self.sessions.begin() as session:
            return service.show_job(session, job_id)

    def worker(
        self, *kinds: JobKind, stopping: Event | None = None, engine: Engine | None = None
    ) -> Worker:
        return Worker(
            engine or self.engine,
            self.blobs,
            self.settings,
            kinds,
            stopping or Event(),
            beat_s=0.02,
            poll_s=0.02,
            retry_after_s=0,
        )

    def run_once(self, kind: JobKind) -> bool:
        return self.worker(kind).work_once(kind.lane)

    def claim(self, lane: str) -> RunningJob | None:
        """Claim a job as a worker does, and never run it."""
        with self.sessions.begin() as session:
            job = store.claim(session, lane, "test", lease_s=60)
        if job is None:
            return None
        return RunningJob(
            self.engine, self.blobs, self.settings, job, stopping=Event(), lease_s=60, beat_s=1
        )

    def end_lease(self, job_id: int) -> None:
        with self.sessions.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(lease_until=utc_now()))

    def start_worker(self) -> ForkServerProcess:
        return start_worker(self.database_url, self.folder)


def kind_of(run: Run, *, name: str = "work", lane: str = "lane") -> JobKind:
    return JobKind(name, lane, run)


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def start_worker(
    database_url: str, data_dir: Path, *, train_processes: int | None = None
) -> ForkServerProcess:
    """Start a worker process with short leases."""
    return start_process(_work, database_url, data_dir, train_processes)


def _work(database_url: str, data_dir: Path, train_processes: int | None) -> None:
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = Settings(
        data_dir=data_dir, database_url=database_url, device="cpu", train_processes=train_processes
    )
    blobs = BlobStore(settings.blob_store_url)
    Worker(
        open_engine(database_url),
        blobs,
        settings,
        [COUNT, *KINDS],
        stopping,
        lease_s=2,
        beat_s=0.1,
        poll_s=0.1,
        retry_after_s=0.1,
    ).run()
