"""Engine, sessions and the declarative base."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    create_engine,
    event,
    func,
    inspect,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from starlette.concurrency import run_in_threadpool

T = TypeVar("T")

Sessions = sessionmaker[Session]

SQLITE_BUSY_TIMEOUT_MS = 30_000


class Base(DeclarativeBase):
    """Parent of every table; constraints get names, so that migrations can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def open_engine(url: str) -> Engine:
    """An engine for SQLite or Postgres; on SQLite every transaction takes the write lock first."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=50)
    engine = create_engine(url, pool_size=10, max_overflow=50)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_on_sqlite)
    return engine


def open_sessions(engine: Engine) -> Sessions:
    return sessionmaker(engine, expire_on_commit=False)


def read_only(engine: Engine) -> Engine:
    """The same pool, for transactions that only read: on SQLite they wait for no writer."""
    return engine.execution_options(hardneg_read_only=True)


def _prepare_sqlite_connection(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy begins the transactions, not the driver
    cursor = connection.cursor()
    # FULL, not NORMAL: in WAL mode NORMAL may lose an acknowledged commit at a power loss.
    for pragma in (
        f"busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_on_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another has written.
    reads_only = connection.get_execution_options().get("hardneg_read_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def insert_rows(
    session: Session,
    table: type[Base],
    rows: Sequence[dict[str, object]],
    overwrite: Sequence[str] = (),
) -> None:
    """
    Insert rows that all name the same columns; what is there already keeps all but `overwrite`.

    On Postgres all rows go in one statement, an array for each column: row by row it took four
    times as long.
    """
    if not rows:
        return
    columns = {name: table.__table__.c[name] for name in rows[0]}
    on_postgres = session.get_bind().dialect.name == "postgresql"
    statement: postgresql.Insert | sqlite.Insert
    if on_postgres:
        arrays = [
            literal([row[name] for row in rows], postgresql.ARRAY(column.type))
            for name, column in columns.items()
        ]
        unnested = select(func.unnest(*arrays).table_valued(*columns).render_derived())
        statement = postgresql.insert(table).from_select(list(columns), unnested)
    else:
        statement = sqlite.insert(table)
    if overwrite:
        statement = statement.on_conflict_do_update(
            index_elements=inspect(table).primary_key,
            set_={name: statement.excluded[name] for name in overwrite},
        )
    else:
        statement = statement.on_conflict_do_nothing()
    connection = session.connection()
    connection.execute(statement, None if on_postgres else rows)


def get_session(request: Request) -> Iterator[Session]:
    with request.app.state.sessions.begin() as session:
        yield session


def get_read_session(request: Request) -> Iterator[Session]:
    with request.app.state.read_sessions.begin() as session:
        yield session


# "function": the transaction ends before the response is sent, so a failed commit is no 200.
SessionDep = Annotated[Session, Depends(get_session, scope="function")]
ReadSessionDep = Annotated[Session, Depends(get_read_session, scope="function")]


async def get_sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


async def get_read_sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.read_sessions
    return sessions


# For work in several transactions, none of which may stay open while a model computes.
SessionsDep = Annotated[Sessions, Depends(get_sessions)]
ReadSessionsDep = Annotated[Sessions, Depends(get_read_sessions)]


async def read_rows(sessions: Sessions, read: Callable[[], T], *, is_quick: bool) -> T:
    """
    Run `read`, which opens a session of its own, where it costs least.

    What is quick on SQLite runs on the event loop: there it waits for nobody, and takes less time
    than the way to a thread and back. Everything else runs in a thread.
    """
    if is_quick and sessions.kw["bind"].dialect.name == "sqlite":
        return read()
    return await run_in_threadpool(read)
