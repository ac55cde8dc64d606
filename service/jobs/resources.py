"""The resources of a job that stores or scores images, in place of the server's."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from sqlalchemy import Engine

from service.blobs import BlobStore
from service.db import Sessions, open_sessions, read_only
from service.group_commit import GroupCommit
from service.jobs.running import RunningJob
from service.metrics import Metrics
from service.scoring.resources import Resources, open_pixel_cache, open_thumbnails
from service.scoring.scorer import Scorer
from service.scoring.turns import Turns
from service.settings import Settings


@contextmanager
def job_resources(job: RunningJob, sessions: Sessions) -> Iterator[Resources]:
    """
    Open a scorer for one job, and close it with the job.

    `sessions` are the job's own: those that its lease fences, or plain ones.
    """
    with worker_resources(
        job.settings, job.engine, sessions, job.blobs, job.stopping, job.metrics
    ) as resources:
        yield resources


@contextmanager
def worker_resources(
    settings: Settings,
    engine: Engine,
    sessions: Sessions,
    blobs: BlobStore,
    stopping: Event,
    metrics: Metrics,
) -> Iterator[Resources]:
    """Open a scorer over what a worker has open already, and close the scorer at the end."""
    scorer = Scorer(settings, metrics)
    try:
        yield Resources(
            settings=settings,
            engine=engine,
            sessions=sessions,
            read_sessions=open_sessions(read_only(engine)),
            group_commit=GroupCommit(sessions),
            blobs=blobs,
            thumbnails=open_thumbnails(settings),
            pixels=open_pixel_cache(settings),
            scorer=scorer,
            stopping=stopping,
            turns=Turns(settings.memory_budget),
        )
    finally:
        scorer.close()
