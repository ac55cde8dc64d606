import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.crash_report import watch_processes
from tests.databases import migrate, postgres_database, postgres_server, sqlite_url

# Read when torch is imported, here and in the processes that tests start: as many threads in both,
# for weights repeat only then. And tensors here are small: more threads only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

# A run in a shell's background ignores Ctrl-C, and so would the programs that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    watch_processes(config)


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """Find or start the Postgres server for this run, when the first test needs it."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres: URL) -> Iterator[str]:
    """Migrate a database once and return its name, to copy it for each test."""
    with postgres_database(postgres) as url:
        migrate(url)
        assert url.database is not None
        yield url.database


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate a file once, to copy it for each test."""
    path = tmp_path_factory.mktemp("migrated") / "migrated.sqlite"
    migrate(sqlite_url(path))
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Make a new database for every test, migrated and without rows, and return its address."""
    if request.param == "sqlite":
        copy = shutil.copyfile(request.getfixturevalue("migrated_sqlite"), tmp_path / "test.sqlite")
        yield sqlite_url(copy).render_as_string()
        return
    template = request.getfixturevalue("migrated_postgres")
    with postgres_database(request.getfixturevalue("postgres"), template) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Make a new database for every test, without any table, and return its address."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "empty.sqlite").render_as_string()
        return
    with postgres_database(request.getfixturevalue("postgres")) as url:
        yield url.render_as_string(hide_password=False)
