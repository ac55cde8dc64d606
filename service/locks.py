"""Locks between processes that the kernel or Postgres releases when their holder dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError


@contextmanager
def try_lock(engine: Engine, name: str) -> Iterator[bool]:
    """Take a lock unless another process holds it; yield whether it was taken."""
    if engine.dialect.name == "sqlite":
        with _lock_file(engine, name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        return
    # A separate connection, because the lock lives as long as its connection.
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        parameters = {"key": _key(name)}
        held = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), parameters)
        try:
            yield bool(held)
        finally:
            if held:
                try:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), parameters)
                except (
                    DBAPIError
                ):  # usually the connection is gone; if not, closing it frees the lock
                    connection.invalidate()


def _lock_file(engine: Engine, name: str) -> Path:
    database = Path(str(engine.url.database))
    return database.with_name(f"{database.name}.{name}-lock")


def _key(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8], signed=True)
