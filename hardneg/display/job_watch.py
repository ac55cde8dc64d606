"""A job's history and progress in a terminal, until the job is over."""

import time

from rich.progress import Progress

from hardneg.client import Client, Unreachable
from hardneg.schemas.jobs import JobDetail, JobStatus

LOOK_EVERY_S = 0.5
PATIENCE_S = 60.0  # with a service that is away: a restart takes less

FINISHED = (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)


def watch_job(client: Client, job_id: int, progress: Progress) -> JobDetail:
    """
    Print each line of the job's history as it comes, and draw how far its stage is.

    Raises ClientError if there is no such job, or if the service stays away for a minute.
    """
    task = progress.add_task("", total=None)
    shown_id = 0
    while True:
        job = _ask_patiently(client, job_id)
        for event in job.events:
            if event.id > shown_id:
                progress.console.print(event.message, soft_wrap=True)
                shown_id = event.id
        progress.update(
            task,
            description=_stage(job),
            completed=job.progress.done,
            total=job.progress.total,
            visible=job.status not in FINISHED,
        )
        if job.status in FINISHED:
            return job
        time.sleep(LOOK_EVERY_S)


def _stage(job: JobDetail) -> str:
    if job.status is JobStatus.TODO:
        return f"job {job.id} waits for a worker"
    return job.progress.stage or f"job {job.id} begins"


def _ask_patiently(client: Client, job_id: int) -> JobDetail:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return client.job(job_id)
        except Unreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_EVERY_S)
