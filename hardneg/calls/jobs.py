"""Jobs: long work that a worker of the service does."""

import time
from collections.abc import Callable, Iterator

import httpx
from pydantic import ValidationError

from hardneg.errors import ClientError, TimedOut, Unreachable
from hardneg.schemas.jobs import JobDetail, JobEventOut, JobOut, JobPage
from hardneg.transport import Connection, iterate_pages, read_answer

POLL_S = 0.5
PATIENCE_S = 60.0  # a restart of the service takes less
PAGE_SIZE = 1000


class JobCalls(Connection):
    """Calls under `/jobs`."""

    def jobs(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> JobPage:
        """
        Return one page of the jobs, newest first.

        Args:
            kind: only `retrain`, `import`, …
            status: only `todo`, `running`, `done`, `failed` or `cancelled`.
            before_id: only ids below this one; `next_before_id` of the page before.
            limit: size of the page, 1 to 1000.
        """
        query = {"kind": kind, "status": status, "before_id": before_id, "limit": limit}
        return read_answer(JobPage, self._get("/jobs", query))

    def iter_jobs(self, *, kind: str | None = None, status: str | None = None) -> Iterator[JobOut]:
        """Yield all jobs, or those of a kind or status, newest first."""

        def show(before_id: int | None) -> JobPage:
            return self.jobs(kind=kind, status=status, before_id=before_id, limit=PAGE_SIZE)

        for page in iterate_pages(show, lambda page: page.next_before_id):
            yield from page.items

    def job(self, job_id: int) -> JobDetail:
        """Return one job: its status, progress, result or failure, and the end of its history."""
        return read_answer(JobDetail, self._get(f"/jobs/{job_id}"))

    def wait_for_job(
        self,
        job_id: int,
        *,
        timeout_s: float | None = None,
        poll_s: float = POLL_S,
        on_poll: Callable[[JobDetail], object] | None = None,
    ) -> JobDetail:
        """
        Wait until a job is done, failed or cancelled, and return it.

        Check its `status`: a job that failed does not raise. A service that is away for less than
        a minute, as during a restart, does not end the waiting.

        Args:
            job_id: the job.
            timeout_s: how long to wait at most; None waits as long as it takes.
            poll_s: pause between two looks at the job.
            on_poll: called with the job at each look, to show its progress.

        Raises:
            TimedOut: The job did not finish in time; it goes on.
            ClientError: There is no such job, or the service stays away.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            job = self._job_patiently(job_id, poll_s)
            if on_poll is not None:
                on_poll(job)
            if job.status.is_final:
                return job
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(f"job {job_id} is still {job.status} after {timeout_s:g} s")
            time.sleep(poll_s)

    def job_events(self, job_id: int, *, last_event_id: int = 0) -> Iterator[JobEventOut | JobOut]:
        """
        Yield a job's history and progress as they happen, until the job is over.

        Args:
            job_id: the job.
            last_event_id: only lines of the history after this one, to go on where a connection
                broke.

        Yields:
            A line of the history (`JobEventOut`), or the job itself (`JobOut`) when its status or
            its progress has changed.

        Raises:
            Unreachable: The connection broke, or the service stopped.
        """
        headers = {"Last-Event-ID": str(last_event_id)}
        with self._streamed(f"/jobs/{job_id}/events", headers) as answer:
            for event, data in _server_sent_events(answer):
                if event == "end":
                    return
                yield _read_event(event, data, answer)
        raise Unreachable(f"{self.url} ended the stream of job {job_id} before the job was over")

    def cancel_job(self, job_id: int) -> JobOut:
        """
        Cancel a job.

        A job that waits is cancelled at once; a job that runs stops within a step of its work.

        Raises:
            Refused: The job is over already.
        """
        return read_answer(JobOut, self._post(f"/jobs/{job_id}/cancel"))

    def _job_patiently(self, job_id: int, poll_s: float) -> JobDetail:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.job(job_id)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(poll_s)


def _server_sent_events(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """Yield name and data of each event; comments, ids and retry times are passed over."""
    event = "message"
    data: list[str] = []
    for line in answer.iter_lines():
        if not line:
            if data:
                yield event, "\n".join(data)
            event, data = "message", []
            continue
        field, _, value = line.partition(":")
        if field == "event":
            event = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))


def _read_event(event: str, data: str, answer: httpx.Response) -> JobEventOut | JobOut:
    schema = JobOut if event == "progress" else JobEventOut
    try:
        return schema.model_validate_json(data)
    except ValidationError as error:
        raise ClientError(
            f"{answer.request.url} sent an event that this client cannot read: {event}"
        ) from error
