"""The event loop while the database does not answer."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, current_thread

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from service.auth import ring
from tests.service.resources import resources_of

LONG_S = 20.0
NUM_REQUESTS = 45  # the thread pool has 40 threads


@contextmanager
def stalled(engine: Engine) -> Iterator[Event]:
    """Hold up the SQL of requests until this ends; yield an event that is set when one waits."""
    waiting, released = Event(), Event()

    def wait(*_: object) -> None:
        if current_thread().name != "backlog":
            waiting.set()
            released.wait()

    event.listen(engine, "before_cursor_execute", wait)
    try:
        yield waiting
    finally:
        released.set()


def test_keys_that_are_known_let_requests_in_while_the_database_stalls(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "READ_TIMEOUT_S", 0.2)
    client.headers["X-API-Key"] = client.post(
        "/keys", json={"name": "ana", "role": "admin"}
    ).json()["key"]
    assert client.post("/score").status_code == 422

    with ThreadPoolExecutor(10) as pool, stalled(resources_of(client).engine):
        client.app.state.key_ring.forget()  # type: ignore[attr-defined]
        started = time.monotonic()
        answers = [pool.submit(client.post, "/score") for _ in range(10)]  # needs no database
        statuses = [answer.result(LONG_S).status_code for answer in answers]

    assert statuses == [422] * 10
    assert time.monotonic() - started < 1.5  # one try for all, not one for each


@pytest.mark.parametrize(
    "path", ["/hard-negatives", "/hard-negatives?source=yard", "/images", "/model-versions"]
)
def test_health_check_answers_while_lists_wait_for_the_database(
    client: TestClient, path: str
) -> None:
    with (
        ThreadPoolExecutor(NUM_REQUESTS + 1) as pool,
        stalled(resources_of(client).engine) as stall,
    ):
        lists = [pool.submit(client.get, path) for _ in range(NUM_REQUESTS)]
        assert stall.wait(LONG_S)

        health = pool.submit(client.get, "/healthz")

        assert health.result(LONG_S).status_code == 200
        assert not any(answer.done() for answer in lists)
