"""The rules of jobs as clients see them; the worker's side is in `service/worker`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

from pydantic import BaseModel
from sqlalchemy.orm import Session

from hardneg.schemas.jobs import (
    JobDetail,
    JobEventOut,
    JobLinks,
    JobOut,
    JobPage,
    JobProgress,
    JobStatus,
)
from service.audit.store import record
from service.blobs import BlobStore
from service.db import Sessions
from service.errors import ServiceError
from service.jobs import store
from service.jobs.kind import JobKind
from service.jobs.leftovers import delete_leftovers
from service.tables import Job, JobEvent

SHOWN_EVENTS = 500


class JobNotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND
    slug = "unknown-job"
    title = "Unknown job"

    def __init__(self, job_id: int) -> None:
        super().__init__(f"there is no job {job_id}")


class JobIsOver(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "job-is-over"
    title = "Job is over"

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is {job.status} and can no longer be cancelled")


def enqueue(session: Session, kind: JobKind, params: BaseModel) -> JobOut:
    """Queue a job in the caller's transaction, together with the rows that it is about."""
    job = store.add_job(
        session,
        kind=kind.name,
        lane=kind.lane,
        params=params.model_dump(mode="json"),
        max_failures=kind.max_failures,
    )
    store.add_event(session, job, "state", "queued", {"status": job.status})
    record(session, f"queue-{kind.name}", f"job {job.id}", after=job.params)
    return job_out(session, job)


def get_job(session: Session, job_id: int) -> Job:
    """Return a job's row. Raises JobNotFound."""
    job = store.find_job(session, job_id)
    if job is None:
        raise JobNotFound(job_id)
    return job


def show_job(session: Session, job_id: int) -> JobDetail:
    """Return a job with its newest events. Raises JobNotFound."""
    job = get_job(session, job_id)
    events = [event_out(event) for event in store.last_events(session, job_id, SHOWN_EVENTS)]
    return JobDetail(**dict(job_out(session, job)), events=events)


def list_jobs(
    session: Session,
    *,
    kind: str | None,
    status: JobStatus | None,
    before_id: int | None,
    limit: int,
) -> JobPage:
    """Return a page of jobs, newest first."""
    jobs = store.list_jobs(session, kind=kind, status=status, before_id=before_id, limit=limit + 1)
    return JobPage(
        items=[job_out(session, job) for job in jobs[:limit]],
        next_before_id=jobs[limit - 1].id if len(jobs) > limit else None,
    )


def cancel(sessions: Sessions, blobs: BlobStore, job_id: int) -> JobOut:
    """
    Cancel a job at once if no worker runs it; else request that its worker stop.

    A second call changes nothing. Raises JobNotFound, JobIsOver.
    """
    with sessions.begin() as session:
        job = store.cancel_idle(session, job_id)
        if job is None:
            return _request_stop(session, job_id)
        store.add_event(session, job, "state", "cancelled", {"status": job.status})
        store.delete_scan_ranges(session, job_id)
        record(session, "cancel-job", f"job {job.id}", after={"status": job.status})
        cancelled = job_out(session, job)
    delete_leftovers(blobs, job.params, job.resume)
    return cancelled


def _request_stop(session: Session, job_id: int) -> JobOut:
    job = get_job(session, job_id)
    if job.status in (JobStatus.DONE, JobStatus.FAILED):
        raise JobIsOver(job)
    if job.status == JobStatus.RUNNING and not job.cancel_requested:
        requested = store.request_cancel(session, job_id)
        if requested is None:  # the job has ended meanwhile
            session.refresh(job)
            return job_out(session, job)
        store.add_event(session, requested, "log", "cancellation requested")
        record(session, "cancel-job", f"job {job_id}", after={"status": requested.status})
        job = requested
    return job_out(session, job)


def events_after(
    session: Session, job_id: int, after_id: int, limit: int
) -> tuple[JobOut, Sequence[JobEventOut]]:
    """
    Return a job, and a page of its history after one event.

    The job is read first: where it is over, no event is added after the page was read.
    """
    job = job_out(session, get_job(session, job_id))
    events = store.list_events(session, job_id, after_id=after_id, limit=limit)
    return job, [event_out(event) for event in events]


def job_out(session: Session, job: Job) -> JobOut:
    names = JobOut.model_fields.keys() - {"progress", "links"}
    path = f"/jobs/{job.id}"
    return JobOut.model_validate(
        {
            **{name: getattr(job, name) for name in names},
            "progress": JobProgress(
                stage=job.stage,
                done=job.num_done,
                total=job.num_total,
                eta=_eta(job, store.now(session)) if job.status == JobStatus.RUNNING else None,
            ),
            "links": JobLinks(self=path, events=f"{path}/events", cancel=f"{path}/cancel"),
        }
    )


def event_out(event: JobEvent) -> JobEventOut:
    return JobEventOut.model_validate(event, from_attributes=True)


def _eta(job: Job, now: datetime) -> datetime | None:
    """Estimate when the stage ends, from its pace since it was started or resumed."""
    done = job.num_done - job.stage_first_done
    if job.num_total is None or job.stage_started_at is None or done <= 0:
        return None
    seconds_each = (now - job.stage_started_at).total_seconds() / done
    return now + timedelta(seconds=seconds_each * max(0, job.num_total - job.num_done))
