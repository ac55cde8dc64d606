"""Jobs over HTTP."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from hardneg.schemas.jobs import JobDetail, JobOut, JobPage, JobStatus
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.jobs import service
from service.jobs.stream import EventStream
from service.scoring.resources import ReadSessionDep, ResourcesDep

router = APIRouter(prefix="/jobs", tags=["jobs"])

MAX_ID = 2**63 - 1
JobId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[7])]
UNKNOWN_JOB = problem_responses(HTTPStatus.NOT_FOUND)


@router.get("")
def list_jobs(
    session: ReadSessionDep,
    kind: Annotated[PlainText | None, Query(description="Only this kind.")] = None,
    status: Annotated[JobStatus | None, Query(description="Only this status.")] = None,
    before_id: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Ids below this.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobPage:
    """Jobs that wait, run or are over, newest first."""
    return service.list_jobs(session, kind=kind, status=status, before_id=before_id, limit=limit)


@router.get("/{job_id}", responses=UNKNOWN_JOB)
def show_job(session: ReadSessionDep, job_id: JobId) -> JobDetail:
    """One job: how far it is, what it came to or why it failed, and its history."""
    return service.show_job(session, job_id)


@router.post(
    "/{job_id}/cancel",
    responses={
        202: {"model": JobOut, "description": "Its worker is told, and stops within a step"},
        **problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    },
)
def cancel_job(resources: ResourcesDep, response: Response, job_id: JobId) -> JobOut:
    """Cancel a job; one that nobody works on is cancelled at once."""
    job = service.cancel(resources.sessions, resources.blobs, job_id)
    if job.status is not JobStatus.CANCELLED:
        response.status_code = HTTPStatus.ACCEPTED
    return job


def open_stream(
    resources: ResourcesDep,
    job_id: JobId,
    last_event_id: Annotated[
        int, Header(ge=0, le=MAX_ID, description="Only events after this one.")
    ] = 0,
) -> EventStream:
    """Raises JobNotFound, before the stream has begun."""
    sessions = resources.read_sessions
    with sessions.begin() as session:
        service.get_job(session, job_id)
    return EventStream(sessions, job_id, last_event_id, resources.stopping)


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=UNKNOWN_JOB)
async def stream_events(
    stream: Annotated[EventStream, Depends(open_stream)],
) -> AsyncIterator[ServerSentEvent]:
    """
    The job's history and progress as server-sent events, until the job is over.

    `state` and `log` events carry one line of the history and its id, so that a client which
    comes back with `Last-Event-ID` misses none; `progress` events carry the job. After the last
    event comes `end`: close the stream then, else the browser's client asks again.
    """
    async for event in stream:
        yield event
