from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.databases import postgres_database, postgres_server, sqlite_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """The server for this run's databases, looked for or started when the first test wants it."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database of its own for every test, without any table."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "empty.sqlite").render_as_string()
        return
    with postgres_database(request.getfixturevalue("postgres")) as url:
        yield url.render_as_string(hide_password=False)
