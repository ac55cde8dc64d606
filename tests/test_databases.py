import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, create_engine, inspect, text

from tests.databases import embedded_postgres, postgres_database

OWNER_OF_A_POSTGRES = """
import sys
from tests.databases import embedded_postgres

with embedded_postgres() as server:
    print(server.set(drivername="postgresql").render_as_string(hide_password=False), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_has_an_empty_database_of_its_own(empty_database_url: str, attempt: int) -> None:
    engine = create_engine(empty_database_url)
    tables_before = inspect(engine).get_table_names()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE words (word VARCHAR(20))"))
        connection.execute(text("INSERT INTO words VALUES ('Grüße 図')"))

    with engine.connect() as connection:
        word = connection.execute(text("SELECT word FROM words")).scalar_one()

    engine.dispose()
    assert tables_before == []
    assert word == "Grüße 図"


def test_postgres_database_is_dropped_in_spite_of_an_open_connection(postgres: URL) -> None:
    with postgres_database(postgres) as url:
        engine = create_engine(url)
        forgotten = engine.connect()

    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(_libpq(url))
    forgotten.invalidate()
    engine.dispose()


@pytest.mark.slow
def test_embedded_postgres_serves_databases_and_stops() -> None:
    with (
        embedded_postgres() as server,
        postgres_database(server) as url,
        psycopg.connect(_libpq(url)) as connection,
    ):
        encoding = connection.execute("SHOW server_encoding").fetchone()

    assert encoding == ("UTF8",)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(_libpq(server))


@pytest.mark.slow
def test_embedded_postgres_does_not_survive_its_killed_owner() -> None:
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER_OF_A_POSTGRES],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        address = owner.stdout.readline().strip()
        psycopg.connect(address).close()

        os.kill(owner.pid, signal.SIGKILL)

    _wait_until_refused(address)


def _wait_until_refused(address: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            return
        time.sleep(0.1)
    pytest.fail(f"Postgres still answers {timeout_s} s after its owner was killed")


def _libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
