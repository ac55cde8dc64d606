"""A job's events as they happen."""

from collections.abc import AsyncIterator
from threading import Event

import anyio
from anyio.to_thread import run_sync
from fastapi.sse import ServerSentEvent

from hardneg.schemas.jobs import JobEventOut, JobOut, JobStatus
from service.db import Sessions
from service.jobs import service

LOOK_EVERY_S = 0.5
PAGE = 200
RETRY_MS = 3000

FINISHED = (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)


class EventStream:
    """
    Looks for news of one job in the database, where any worker on any machine puts it.

    It waits on the event loop, not in a thread of the pool that the requests need, and ends when
    the server stops, which else would wait for its client.
    """

    def __init__(
        self, sessions: Sessions, job_id: int, last_event_id: int, stopping: Event
    ) -> None:
        self._sessions = sessions
        self._job_id = job_id
        self._last_event_id = last_event_id
        self._stopping = stopping

    async def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        shown = None
        while not self._stopping.is_set():
            job, events = await run_sync(self._look)
            for event in events:
                yield ServerSentEvent(
                    data=event, event=event.kind, id=str(event.id), retry=RETRY_MS
                )
                self._last_event_id = event.id
            if (job.status, job.progress.done, job.progress.stage) != shown:
                shown = (job.status, job.progress.done, job.progress.stage)
                yield ServerSentEvent(data=job, event="progress")
            if len(events) == PAGE:
                continue
            if job.status in FINISHED:
                yield ServerSentEvent(data={"status": job.status}, event="end")
                return
            await anyio.sleep(LOOK_EVERY_S)

    def _look(self) -> tuple[JobOut, list[JobEventOut]]:
        with self._sessions.begin() as session:
            job, events = service.events_after(session, self._job_id, self._last_event_id, PAGE)
            return job, list(events)
