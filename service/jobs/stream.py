"""A job's events, streamed as they happen."""

from collections.abc import AsyncIterator
from threading import Event

import anyio
from anyio.to_thread import run_sync
from fastapi.sse import ServerSentEvent

from hardneg.schemas.jobs import JobEventOut, JobOut
from service.db import Sessions
from service.jobs import service

POLL_EVERY_S = 0.5
PAGE = 200
RETRY_MS = 3000


class EventStream:
    """
    One client's stream of a job's events, polled from the database that all workers write to.

    Between two polls it waits on the event loop, not in a thread that requests need. It ends when
    the server stops: the server would wait for the client otherwise.
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
            job, events = await run_sync(self._poll)
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
            if job.status.is_final:
                yield ServerSentEvent(data={"status": job.status}, event="end")
                return
            await anyio.sleep(POLL_EVERY_S)

    def _poll(self) -> tuple[JobOut, list[JobEventOut]]:
        with self._sessions.begin() as session:
            job, events = service.events_after(session, self._job_id, self._last_event_id, PAGE)
            return job, list(events)
