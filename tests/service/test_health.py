"""Health and metrics of a server whose threads are all busy."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from service.db import open_engine
from tests.scenes import scene_bytes
from tests.service.servers import free_port, running_server

NUM_WAITING = 60  # the server has 40 threads


@contextmanager
def locked_images(database_url: str) -> Iterator[None]:
    """Hold a lock that every change of an image waits for."""
    engine = open_engine(database_url)
    with engine.begin() as connection:  # on SQLite, this alone takes the one lock for writing
        if engine.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE images IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()


def wait_until_no_thread_is_free(client: httpx.Client) -> None:
    """Ask for readiness, which needs a thread and no lock, until no answer comes."""
    try:
        for _ in range(10_000):
            client.get("/readyz", timeout=3)
    except httpx.ReadTimeout:
        return
    raise AssertionError("a thread was always free")


@pytest.mark.slow
def test_health_and_metrics_answer_while_requests_wait_for_every_thread(
    database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    with (
        running_server(database_url, tmp_path, port) as (_, client),
        ThreadPoolExecutor(NUM_WAITING) as pool,
    ):
        image = client.post("/images", files={"files": scene_bytes(1)}).json()
        verdict = f"{client.base_url}/images/{image['id']}/verdict"

        def judge() -> int:
            return httpx.put(verdict, json={"verdict": "negative"}, timeout=60).status_code

        with locked_images(database_url):
            waiting = [pool.submit(judge) for _ in range(NUM_WAITING)]
            wait_until_no_thread_is_free(client)
            answers = [client.get(path, timeout=10) for path in ("/healthz", "/metrics")]
            num_answered = sum(judged.done() for judged in waiting)

        statuses = {judged.result() for judged in waiting}

    assert [answer.status_code for answer in answers] == [200, 200]
    assert num_answered == 0
    assert statuses <= {200, 503}  # 503: it has waited for the database long enough
