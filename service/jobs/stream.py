"""A job's events, streamed as they happen."""

from collections.abc import AsyncIterator

from anyio.to_thread import run_sync
from fastapi.sse import ServerSentEvent

from hardneg.schemas.jobs import JobEventOut, JobOut
from service.jobs.feed import PAGE, EventFeed, WatchedJob

RETRY_MS = 3000


class EventStream:
    """
    One client's stream of a job's events.

    It reads the history from the database, and then waits on the event loop for what the feed
    finds for all streams. It ends when the server stops: the server would wait for the client
    otherwise.
    """

    def __init__(self, feed: EventFeed, job_id: int, last_event_id: int) -> None:
        self._feed = feed
        self._job_id = job_id
        self._last_event_id = last_event_id
        self._shown: tuple[object, ...] | None = None
        self._is_over = False

    async def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        async for event in self._history():
            yield event
        with self._feed.watch(self._job_id, self._last_event_id) as watched:
            while not self._is_over and not self._feed.stopping.is_set():
                changed = watched.changed
                async for event in self._news(watched):
                    yield event
                if not self._is_over and not self._feed.stopping.is_set():
                    await changed.wait()

    async def _history(self) -> AsyncIterator[ServerSentEvent]:
        """Read page by page up to the newest event."""
        is_last = False
        while not is_last and not self._feed.stopping.is_set():
            job, events = await run_sync(self._feed.events_after, self._job_id, self._last_event_id)
            is_last = len(events) < PAGE
            for event in self._messages(job, events, is_last=is_last):
                yield event

    async def _news(self, watched: WatchedJob) -> AsyncIterator[ServerSentEvent]:
        """Show what the feed has found; read the database if the feed began later, or forgot."""
        events = watched.events_after(self._last_event_id)
        if events is None:
            async for event in self._history():
                yield event
        elif watched.job is not None:
            for event in self._messages(watched.job, events, is_last=watched.is_complete):
                yield event

    def _messages(
        self, job: JobOut, events: list[JobEventOut], *, is_last: bool
    ) -> list[ServerSentEvent]:
        messages = [
            ServerSentEvent(data=event, event=event.kind, id=str(event.id), retry=RETRY_MS)
            for event in events
        ]
        if events:
            self._last_event_id = events[-1].id
        state = (job.status, job.progress.done, job.progress.stage)
        if state != self._shown:
            self._shown = state
            messages.append(ServerSentEvent(data=job, event="progress"))
        if is_last and job.status.is_final:
            self._is_over = True
            messages.append(ServerSentEvent(data={"status": job.status}, event="end"))
        return messages
