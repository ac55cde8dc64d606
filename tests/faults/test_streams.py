"""Many streams of events cost the database one poll."""

import asyncio
from collections.abc import Iterator
from threading import Event

import pytest
from sqlalchemy import Engine, event

from service.db import open_sessions, read_only
from service.jobs import feed as feeds
from service.jobs import store
from service.jobs.feed import EventFeed, TooManyStreams
from service.jobs.stream import EventStream
from tests.databases import on_sqlite_only
from tests.service.job_kinds import COUNT, CountParams, Jobs

NUM_STREAMS = 100


@pytest.fixture
def statements(jobs: Jobs) -> Iterator[list[str]]:
    """Collect the statements that the engine of the jobs executes."""
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        found.append(statement)

    event.listen(jobs.engine, "before_cursor_execute", note)
    yield found
    event.remove(jobs.engine, "before_cursor_execute", note)


def open_feed(engine: Engine) -> EventFeed:
    return EventFeed(open_sessions(read_only(engine)), Event())


async def read_to_end(feed: EventFeed, job_id: int) -> list[str | None]:
    return [message.event async for message in EventStream(feed, job_id, 0)]


@on_sqlite_only
def test_streams_of_a_job_share_one_poll(jobs: Jobs, statements: list[str]) -> None:
    job_id = jobs.enqueue(COUNT, CountParams(to=1, out=str(jobs.folder / "out")))

    async def scenario() -> tuple[list[list[str | None]], int]:
        feed = open_feed(jobs.engine)
        streams = [asyncio.create_task(read_to_end(feed, job_id)) for _ in range(NUM_STREAMS)]
        while len(statements) < NUM_STREAMS:  # each reads the history first
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        statements.clear()
        await asyncio.sleep(2 * feeds.POLL_EVERY_S)
        num_statements = len(statements)
        await asyncio.to_thread(jobs.run_once, COUNT)
        return await asyncio.gather(*streams), num_statements

    messages, num_statements = asyncio.run(scenario())

    assert num_statements < NUM_STREAMS / 4
    assert all(list_of_one[-1] == "end" for list_of_one in messages)
    assert {list_of_one.count("state") for list_of_one in messages} == {3}


@on_sqlite_only
def test_more_events_than_a_page_reach_a_stream_that_waits(jobs: Jobs) -> None:
    job_id = jobs.enqueue(COUNT, CountParams(to=1, out=str(jobs.folder / "out")))

    async def scenario() -> list[str | None]:
        feed = open_feed(jobs.engine)
        stream = asyncio.create_task(read_to_end(feed, job_id))
        await asyncio.sleep(0.2)
        with open_sessions(jobs.engine).begin() as session:
            job = store.find_job(session, job_id)
            assert job is not None
            for number in range(2 * feeds.PAGE + 1):
                store.add_event(session, job, "log", str(number))
        await asyncio.to_thread(jobs.run_once, COUNT)
        return await stream

    messages = asyncio.run(scenario())

    assert messages.count("log") == 2 * feeds.PAGE + 1
    assert messages[-1] == "end"


@on_sqlite_only
def test_streams_have_a_limit(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_STREAMS", 1)
    job_id = jobs.enqueue(COUNT, CountParams(to=1, out=""))

    async def scenario() -> None:
        feed = open_feed(jobs.engine)
        feed.require_room()
        with feed.watch(job_id, 0), pytest.raises(TooManyStreams):
            feed.require_room()
        feed.require_room()

    asyncio.run(scenario())
