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
from service.jobs.feed import EventFeedDep
from service.jobs.stream import EventStream
from service.roles import requires
from service.scoring.resources import ReadSessionDep, ResourcesDep

router = APIRouter(prefix="/jobs", tags=["jobs"])

MAX_ID = 2**63 - 1
JobId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[7])]
UNKNOWN_JOB = problem_responses(HTTPStatus.NOT_FOUND)


@router.get("")
@requires("read")
def list_jobs(
    session: ReadSessionDep,
    kind: Annotated[PlainText | None, Query(description="Only jobs of this kind.")] = None,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    before_id: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Only ids below this.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobPage:
    """List jobs, whatever their status, newest first."""
    return service.list_jobs(session, kind=kind, status=status, before_id=before_id, limit=limit)


@router.get("/{job_id}", responses=UNKNOWN_JOB)
@requires("read")
def show_job(session: ReadSessionDep, job_id: JobId) -> JobDetail:
    """Show one job: its progress, its result or the reason of its failure, and its history."""
    return service.show_job(session, job_id)


@router.post(
    "/{job_id}/cancel",
    responses={
        202: {"model": JobOut, "description": "The worker stops within one step"},
        **problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    },
)
@requires("train")
def cancel_job(resources: ResourcesDep, response: Response, job_id: JobId) -> JobOut:
    """Cancel a job: at once if no worker runs it, else within one step of its work."""
    job = service.cancel(resources.sessions, resources.blobs, job_id)
    if job.status is not JobStatus.CANCELLED:
        response.status_code = HTTPStatus.ACCEPTED
    return job


def open_stream(
    resources: ResourcesDep,
    feed: EventFeedDep,
    job_id: JobId,
    last_event_id: Annotated[
        int, Header(ge=0, le=MAX_ID, description="Only events after this id.")
    ] = 0,
) -> EventStream:
    """Open a stream. Raises TooManyStreams and JobNotFound before the response begins."""
    feed.require_room()
    with resources.read_sessions.begin() as session:
        service.get_job(session, job_id)
    return EventStream(feed, job_id, last_event_id)


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=UNKNOWN_JOB)
@requires("read")
async def stream_events(
    stream: Annotated[EventStream, Depends(open_stream)],
) -> AsyncIterator[ServerSentEvent]:
    """
    Stream the job's history and progress as server-sent events, until the job is over.

    `state` and `log` events carry one line of the history and its id: a client that reconnects
    with `Last-Event-ID` misses none. `progress` events carry the job. The last event is `end`:
    close the stream on it, because a browser's EventSource reconnects otherwise.
    """
    async for event in stream:
        yield event
