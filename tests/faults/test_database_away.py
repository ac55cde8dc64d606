"""A database that is locked or away: 503 within the time limit, and nothing hangs."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from service.app import create_app
from service.db import is_away, open_engine
from service.errors import UnexpectedErrors
from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.scenes import scene_bytes
from tests.service.clients import local_client
from tests.service.resources import resources_of

LIMIT_S = 1


@pytest.fixture
def impatient(settings: Settings) -> Iterator[TestClient]:
    limited = Settings(**{**dict(settings), "database_timeout_s": LIMIT_S})
    with local_client(create_app(limited)) as client:
        yield client


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Hold the lock that every write needs, as a stuck process would."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE images IN SHARE ROW EXCLUSIVE MODE"))
        yield


def assert_away(response: Response) -> None:
    assert response.status_code == 503
    assert response.json()["type"] == "/problems/database-away"
    assert int(response.headers["Retry-After"]) > 0


def test_locked_database_is_answered_with_503_and_reading_goes_on(
    impatient: TestClient, engine: Engine
) -> None:
    image = impatient.post("/images", files={"files": scene_bytes(1)}).json()["id"]

    with locked(engine), ThreadPoolExecutor(6) as pool:
        started = time.monotonic()
        uploads = [
            pool.submit(impatient.post, "/images", files={"files": scene_bytes(seed)})
            for seed in range(2, 7)
        ]
        verdict = pool.submit(
            impatient.put, f"/images/{image}/verdict", json={"verdict": "negative"}
        )
        read = impatient.get(f"/images/{image}")
        answers = [upload.result() for upload in uploads]
        waited_s = time.monotonic() - started

    assert read.status_code == 200
    for answer in [*answers, verdict.result()]:
        assert_away(answer)
    assert waited_s < 4 * LIMIT_S  # a group that fails is not tried again one by one
    blobs = resources_of(impatient).blobs
    assert len(list(blobs.list_all())) == 1  # the refused ones are deleted
    assert impatient.post("/images", files={"files": scene_bytes(2)}).status_code == 201


@on_sqlite_only
def test_other_errors_of_the_database_are_not_taken_for_an_outage(engine: Engine) -> None:
    with pytest.raises(OperationalError) as wrong, engine.begin() as connection:
        connection.execute(text("SELECT * FROM nowhere"))

    away = open_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(DBAPIError) as refused, away.begin():
        pass

    assert not is_away(wrong.value)
    assert is_away(refused.value)


def test_unexpected_error_is_a_problem_and_keeps_the_connection() -> None:
    async def broken(scope: object, receive: object, send: object) -> None:
        raise RuntimeError("/a/secret/path")

    response = TestClient(UnexpectedErrors(broken)).get("/")  # an error raised on would end it

    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in response.text


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_sessions_end_within_seconds_of_a_vanished_client(engine: Engine) -> None:
    names = ("tcp_keepalives_idle", "idle_in_transaction_session_timeout", "lock_timeout")
    with engine.begin() as connection:
        values = [connection.scalar(text(f"SHOW {name}")) for name in names]
        timeout = connection.scalar(text("SHOW tcp_user_timeout"))

    assert values == ["5", "1min", "30s"]
    assert timeout == "10000"  # in ms
