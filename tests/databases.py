"""Empty databases for tests: SQLite files, and a Postgres that is here or started for the run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url

from service.db import open_engine
from service.migrate import upgrade

LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
# For tests of what no SQL of their own decides; others run the same statements on Postgres.
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

KEEPER = Path(__file__).with_name("postgres_keeper.py")


@contextmanager
def postgres_server() -> Iterator[URL]:
    """
    Yield the address of a server on which databases can be made.

    That is HARDNEG_TEST_POSTGRES_URL if set (and then nothing else is tried), else this machine's
    own server if it lets `postgres` in, else a new one that lives as long as this context.
    """
    given = os.environ.get("HARDNEG_TEST_POSTGRES_URL")
    if given is not None:
        yield make_url(given).set(drivername="postgresql+psycopg")
    elif _answers(LOCAL_POSTGRES):
        yield make_url(LOCAL_POSTGRES).set(drivername="postgresql+psycopg")
    else:
        with embedded_postgres() as server:
            yield server


@contextmanager
def embedded_postgres() -> Iterator[URL]:
    """Start a Postgres server that stops with this context, or with this process."""
    with subprocess.Popen(
        [sys.executable, str(KEEPER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a signal to the test run's group must not end the keeper first
    ) as keeper:
        assert keeper.stdout is not None
        address = keeper.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"the embedded Postgres ended with status {keeper.wait()}")
        yield make_url(address).set(drivername="postgresql+psycopg", password=None)


@contextmanager
def postgres_database(server: URL, template: str = "template0") -> Iterator[URL]:
    """Make a database with an unused name from `template`, and drop it afterwards."""
    name = f"hardneg_test_{uuid4().hex}"
    # under LC_ALL=C the default encoding is SQL_ASCII, which psycopg refuses
    _execute(server, "CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE {}", name, template)
    try:
        yield server.set(database=name)
    finally:
        _execute(server, "DROP DATABASE {} WITH (FORCE)", name)


def sqlite_url(path: Path) -> URL:
    """Return the address of the SQLite file at `path`, which need not exist yet."""
    return URL.create("sqlite", database=str(path))


def migrate(url: URL) -> None:
    """Leaves no connection open, so that the database can be copied."""
    engine = open_engine(url.render_as_string(hide_password=False))
    upgrade(engine)
    engine.dispose()


def _answers(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _execute(server: URL, statement: str, *names: str) -> None:
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
