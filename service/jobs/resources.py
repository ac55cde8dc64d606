"""What a job that scores images works with, in the place of the server's resources."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from service.db import Sessions
from service.group_commit import GroupCommit
from service.jobs.running import RunningJob
from service.scoring.resources import Resources
from service.scoring.scorer import Scorer


@contextmanager
def job_resources(job: RunningJob, sessions: Sessions) -> Iterator[Resources]:
    """Open a scorer for one job; `sessions` are the job's own, fenced by its lease or not."""
    scorer = Scorer(job.settings, CollectorRegistry())
    try:
        yield Resources(
            settings=job.settings,
            engine=job.engine,
            sessions=sessions,
            read_sessions=job.read_sessions,
            group_commit=GroupCommit(sessions),
            blobs=job.blobs,
            scorer=scorer,
            stopping=job.stopping,
        )
    finally:
        scorer.close()
