"""Requests that hold images take turns, and wait on the event loop for a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fastapi.testclient import TestClient

from service.scoring.turns import TooBusy, Turns
from tests.databases import on_sqlite_only
from tests.service.pictures import picture
from tests.service.resources import resources_of

Work = Callable[[], Awaitable[None]]


async def run_together(turns: Turns, sizes: list[int]) -> tuple[int, int, list[bool]]:
    """Take turns of these sizes at once; return the most turns, the most bytes, and refusals."""
    running: list[int] = []
    most = [0, 0]

    async def work(size: int) -> bool:
        try:
            async with turns.take(size):
                running.append(size)
                most[0] = max(most[0], len(running))
                most[1] = max(most[1], sum(running))
                await asyncio.sleep(0.01)
                running.remove(size)
        except TooBusy:
            return True
        return False

    refused = await asyncio.gather(*(work(size) for size in sizes))
    return most[0], most[1], list(refused)


def test_turns_are_bounded_in_number_and_bytes() -> None:
    turns = Turns(100, max_running=3)

    most_turns, most_bytes, refused = asyncio.run(run_together(turns, [10, 90, 40, 40, 40] * 4))

    assert (most_turns, most_bytes) == (2, 100) or most_turns == 3
    assert most_bytes <= 100
    assert not any(refused)


def test_more_than_may_wait_are_refused_at_once() -> None:
    turns = Turns(100, max_running=1, max_waiting=2)

    _, _, refused = asyncio.run(run_together(turns, [1] * 5))

    assert refused == [False, False, False, True, True]


def test_waiting_ends_after_its_time_and_leaves_no_trace() -> None:
    async def scenario() -> list[bool]:
        turns = Turns(100, max_running=1, max_wait_s=0.05)
        async with turns.take(1):
            _, _, refused = await run_together(turns, [100, 1])
        return refused + (await run_together(turns, [100]))[2]

    assert asyncio.run(scenario()) == [True, True, False]


def test_a_file_larger_than_the_budget_runs_alone() -> None:
    assert asyncio.run(run_together(Turns(100), [500, 1, 500])) == (1, 500, [False] * 3)


@on_sqlite_only
def test_a_busy_service_answers_429_and_stays_healthy(client: TestClient) -> None:
    turns = resources_of(client).turns
    turns._num_free, turns._max_waiting = 0, 0

    refused = client.post("/images", files={"files": picture(1)})

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert refused.json()["type"] == "/problems/too-busy"
    assert client.get("/healthz").status_code == 200
    assert client.get("/images").status_code == 200


@pytest.mark.parametrize("num_uploads", [60])
@on_sqlite_only
def test_many_uploads_at_once_are_all_stored(client: TestClient, num_uploads: int) -> None:
    async def upload_all() -> list[int]:
        answers = [
            asyncio.to_thread(client.post, "/images", files={"files": picture(seed)})
            for seed in range(num_uploads)
        ]
        return [answer.status_code for answer in await asyncio.gather(*answers)]

    assert asyncio.run(upload_all()) == [201] * num_uploads
