"""One poll of the database for all open streams of events."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from threading import Event
from types import MappingProxyType
from typing import Annotated

import structlog
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from hardneg.schemas.jobs import JobEventOut, JobOut
from service.db import Sessions
from service.errors import ServiceError
from service.jobs import service

POLL_EVERY_S = 0.5
PAGE = 200
MAX_STREAMS = 256

log = structlog.get_logger()

Found = tuple[JobOut, list[JobEventOut]]


class TooManyStreams(ServiceError):
    """The refusal of one more stream of events than the service keeps open."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "too-many-streams"
    title = "Too many streams"
    headers: Mapping[str, str] = MappingProxyType({"Retry-After": "5"})

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_STREAMS} streams of events are open: close some, or poll GET /jobs/{{id}}"
        )


class WatchedJob:
    """
    The newest state of a job that streams watch, and its last events.

    Attributes:
        job: None until the first poll.
        last_id: of the newest event that a poll has found.
        is_complete: whether the last poll has found all events.
        changed: set, and replaced, when a poll finds anything new.
    """

    def __init__(self, last_id: int) -> None:
        self.job: JobOut | None = None
        self.last_id = last_id
        self.is_complete = False
        self.changed = asyncio.Event()
        self.num_streams = 0
        self._events: list[JobEventOut] = []
        self._tail_after = last_id  # all events after this one are in the list

    def events_after(self, event_id: int) -> list[JobEventOut] | None:
        """Return the events after one that a stream has shown; None if some are not here."""
        if event_id < self._tail_after:
            return None
        return [event for event in self._events if event.id > event_id]

    def update(self, job: JobOut, events: list[JobEventOut]) -> None:
        is_new = self.job is None or _signature(self.job) != _signature(job)
        self.job, self.is_complete = job, len(events) < PAGE
        if events:
            self._events += events
            dropped, self._events = self._events[:-PAGE], self._events[-PAGE:]
            self._tail_after = dropped[-1].id if dropped else self._tail_after
            self.last_id = events[-1].id
        if events or is_new:
            self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class EventFeed:
    """
    The jobs that streams watch, polled together in one thread while there are any.

    All methods but `events_after` run on the event loop.
    """

    def __init__(self, sessions: Sessions, stopping: Event) -> None:
        self.stopping = stopping
        self._sessions = sessions
        self._watched: dict[int, WatchedJob] = {}
        self._polling: asyncio.Task[None] | None = None
        self._thread = CapacityLimiter(1)

    def require_room(self) -> None:
        """Check that one more stream may open. Raises TooManyStreams."""
        if sum(watched.num_streams for watched in self._watched.values()) >= MAX_STREAMS:
            raise TooManyStreams

    @contextmanager
    def watch(self, job_id: int, after_id: int) -> Iterator[WatchedJob]:
        """Watch a job, beginning after an event."""
        watched = self._watched.setdefault(job_id, WatchedJob(after_id))
        watched.num_streams += 1
        if self._polling is None or self._polling.done():
            self._polling = asyncio.get_running_loop().create_task(self._poll())
        try:
            yield watched
        finally:
            watched.num_streams -= 1
            if not watched.num_streams:
                del self._watched[job_id]

    def events_after(self, job_id: int, event_id: int) -> Found:
        """Read a job and the next page of its events, in the calling thread."""
        with self._sessions.begin() as session:
            job, events = service.events_after(session, job_id, event_id, PAGE)
            return job, list(events)

    async def _poll(self) -> None:
        while self._watched and not self.stopping.is_set():
            last_ids = {job_id: watched.last_id for job_id, watched in self._watched.items()}
            try:
                found = await run_sync(self._read, last_ids, limiter=self._thread)
            except SQLAlchemyError as error:  # the streams wait until the database is back
                log.warning("the events are not polled, trying again", exc_info=error)
                found = {}
            for job_id, (job, events) in found.items():
                if job_id in self._watched:
                    self._watched[job_id].update(job, events)
            await asyncio.sleep(POLL_EVERY_S)
        for watched in self._watched.values():
            watched.wake()

    def _read(self, last_ids: Mapping[int, int]) -> dict[int, Found]:
        with self._sessions.begin() as session:
            found: dict[int, Found] = {}
            for job_id, last_id in last_ids.items():
                job, events = service.events_after(session, job_id, last_id, PAGE)
                found[job_id] = (job, list(events))
            return found


def _signature(job: JobOut) -> tuple[object, ...]:
    return (job.status, job.progress.done, job.progress.stage)


def get_event_feed(request: Request) -> EventFeed:
    feed: EventFeed = request.app.state.event_feed
    return feed


EventFeedDep = Annotated[EventFeed, Depends(get_event_feed)]
