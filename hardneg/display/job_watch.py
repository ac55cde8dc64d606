"""The history and progress of a job in a terminal, until the job is over."""

from rich.progress import Progress

from hardneg.client import Client
from hardneg.schemas.jobs import JobDetail, JobStatus


def watch_job(client: Client, job_id: int, progress: Progress) -> JobDetail:
    """
    Print each line of the job's history once, and draw the progress of its stage.

    Raises:
        ClientError: There is no such job, or the service stays away for a minute.
    """
    task = progress.add_task("", total=None)
    shown_id = 0

    def show(job: JobDetail) -> None:
        nonlocal shown_id
        for event in job.events:
            if event.id > shown_id:
                progress.console.print(event.message, soft_wrap=True)
                shown_id = event.id
        progress.update(
            task,
            description=_stage(job),
            completed=job.progress.done,
            total=job.progress.total,
            visible=not job.status.is_final,
        )

    return client.wait_for_job(job_id, on_poll=show)


def _stage(job: JobDetail) -> str:
    if job.status is JobStatus.TODO:
        return f"job {job.id} waits for a worker"
    return job.progress.stage or f"job {job.id} begins"
