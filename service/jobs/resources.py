"""The resources of a job that stores or scores images, in place of the server's."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.db import Sessions
from service.group_commit import GroupCommit
from service.jobs.running import RunningJob
from service.scoring.resources import Resources, open_thumbnails
from service.scoring.scorer import Scorer
from service.scoring.turns import Turns


@contextmanager
def job_resources(job: RunningJob, sessions: Sessions) -> Iterator[Resources]:
    """
    Open a scorer for one job, and close it with the job.

    `sessions` are the job's own: those that its lease fences, or plain ones.
    """
    scorer = Scorer(job.settings, job.metrics)
    try:
        yield Resources(
            settings=job.settings,
            engine=job.engine,
            sessions=sessions,
            read_sessions=job.read_sessions,
            group_commit=GroupCommit(sessions),
            blobs=job.blobs,
            thumbnails=open_thumbnails(job.settings),
            scorer=scorer,
            stopping=job.stopping,
            turns=Turns(job.settings.memory_budget),
        )
    finally:
        scorer.close()
