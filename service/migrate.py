"""Migration of the database to the newest schema, by one process at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

MIGRATION_LOCK = 0x68617264  # any number that nothing else in the database locks


def upgrade(engine: Engine) -> None:
    """Run the missing migrations; other processes wait. A failure leaves the schema as it was."""
    with _only_one_process(engine) as connection:
        command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).resolve().parent.parent / "migrations")
    )
    config.attributes["connection"] = connection
    return config


@contextmanager
def _only_one_process(engine: Engine) -> Iterator[Connection]:
    if engine.dialect.name == "sqlite":
        with _locked_beside(Path(str(engine.url.database))), engine.connect() as connection:
            # With foreign keys on, rebuilding a parent table deletes the rows of its children.
            connection.connection.execute("PRAGMA foreign_keys = OFF")
            with connection.begin():
                yield connection
            connection.connection.execute("PRAGMA foreign_keys = ON")
    else:
        with engine.begin() as connection:
            # Another process may migrate for long, and so may this one.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK}
            )
            yield connection


@contextmanager
def _locked_beside(database: Path) -> Iterator[None]:
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(database.name + ".migration-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
