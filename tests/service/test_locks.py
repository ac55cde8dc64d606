"""Locks end with their process or its connection."""

import pytest
from sqlalchemy import Engine, text

from service.locks import try_lock


def test_lock_whose_connection_died_is_free_and_ends_without_an_error(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no connection that could die")
    others = text(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    with try_lock(engine, "sweep") as held:
        assert held
        with engine.begin() as connection:
            connection.execute(others)
        with try_lock(engine, "sweep") as held_again:
            assert held_again
