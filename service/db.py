"""Engine, sessions, bulk inserts, and the declarative base."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    Select,
    String,
    bindparam,
    cast,
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
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

Sessions = sessionmaker[Session]

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 30.0
# Of errors that go away with time: connections refused or ended, locks, too many clients.
AWAY_CODES = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PROTOCOL"),
    *("08", "53", "55P03", "57"),
)
UNCERTAIN_CODES = ("SQLITE_IOERR", "08", "57P")  # the commit may have reached the disk
FULL_CODES = ("SQLITE_FULL", "53100")
SQLITE_CACHE_KIB = 32_768  # for each connection: a batch of scores in any order dirties 16 MB
SQLITE_CHECKPOINT_PAGES = 16_000  # 64 MB of log: pages that many batches touch are copied once


class Base(DeclarativeBase):
    """The parent of every table; it names constraints, because migrations drop them by name."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def open_engine(
    url: str,
    *,
    pool_size: int = 10,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    statement_timeout_s: float = 0.0,
) -> Engine:
    """
    Open SQLite or Postgres; on SQLite every transaction takes the write lock first.

    Args:
        url: of the database.
        pool_size: connections that stay open.
        lock_timeout_s: longest wait for a connection of the pool or for a lock.
        statement_timeout_s: longest run of a statement on Postgres; 0 for no limit.
    """
    pool = {"pool_size": pool_size, "max_overflow": 50, "pool_timeout": lock_timeout_s}
    if make_url(url).get_backend_name() != "sqlite":
        options = _postgres_options(url, lock_timeout_s, statement_timeout_s)
        arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "options": options}
        return create_engine(url, pool_pre_ping=True, connect_args=arguments, **pool)
    # Last in, first out: that connection's cache is warm.
    arguments = {"timeout": lock_timeout_s}
    engine = create_engine(url, pool_use_lifo=True, connect_args=arguments, **pool)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_on_sqlite)
    return engine


def _postgres_options(url: str, lock_timeout_s: float, statement_timeout_s: float) -> str:
    """
    Return the settings of a session, after those of the URL.

    A machine that vanishes would keep its locks for hours: keepalives alone do not end a
    connection that has unsent data, and an idle one has none.
    """
    values = {
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "idle_in_transaction_session_timeout": 60_000,
        "lock_timeout": int(1000 * lock_timeout_s),
        "statement_timeout": int(1000 * statement_timeout_s),
    }
    given = make_url(url).query.get("options", "")
    ours = " ".join(f"-c {name}={value}" for name, value in values.items())
    return f"{ours} {given if isinstance(given, str) else ' '.join(given)}".strip()


def is_away(error: BaseException) -> bool:
    """Return whether an error means that the database does not answer, or is locked for long."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = _error_code(error)
    if error.connection_invalidated or code.startswith(AWAY_CODES):
        return True
    return isinstance(error, OperationalError) and not code


def is_undone(error: BaseException) -> bool:
    """Return whether the transaction that failed has certainly left nothing behind."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return False
    code = _error_code(error)
    return code != "" and not code.startswith(UNCERTAIN_CODES)


def is_disk_full(error: BaseException) -> bool:
    """Return whether the database had no room on its disk."""
    return isinstance(error, DBAPIError) and _error_code(error) in FULL_CODES


def _error_code(error: DBAPIError) -> str:
    """Return SQLite's name or Postgres's SQLSTATE of an error; empty if it came before either."""
    cause = error.orig
    return str(getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or "")


def open_sessions(engine: Engine) -> Sessions:
    return sessionmaker(engine, expire_on_commit=False)


def read_only(engine: Engine) -> Engine:
    """Return the same pool for transactions that only read; on SQLite they wait for no writer."""
    return engine.execution_options(hardneg_read_only=True)


def _prepare_sqlite_connection(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy begins the transactions, not the driver
    cursor = connection.cursor()
    # FULL, not NORMAL: in WAL mode NORMAL may lose an acknowledged commit at a power loss.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        f"cache_size = -{SQLITE_CACHE_KIB}",
        f"wal_autocheckpoint = {SQLITE_CHECKPOINT_PAGES}",
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
    Insert rows that all name the same columns; rows that exist get the `overwrite` columns.

    On Postgres one statement takes all rows, as an array for each column: row by row took four
    times as long. On SQLite the driver takes them as tuples, without SQLAlchemy's work for each.
    """
    if not rows:
        return
    names = tuple(rows[0])
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        columns = [inspect(table).columns[name] for name in names]
        insert = postgresql.insert(table).from_select(list(names), _select_rows(columns, rows))
        connection.execute(_on_conflict(insert, table, overwrite))
    else:
        statement, converters = _sqlite_insert(table, names, tuple(overwrite))
        values = [
            [row[name] if convert is None else convert(row[name]) for row in rows]
            for name, convert in converters
        ]
        connection.exec_driver_sql(statement, list(zip(*values, strict=True)))


Upsert = TypeVar("Upsert", postgresql.Insert, sqlite.Insert)


def _on_conflict(insert: Upsert, table: type[Base], overwrite: Sequence[str]) -> Upsert:
    if not overwrite:
        return insert.on_conflict_do_nothing()
    return insert.on_conflict_do_update(
        index_elements=inspect(table).primary_key,
        set_={name: insert.excluded[name] for name in overwrite},
    )


# Converts a value of a column to what the driver takes; None where they are the same.
Convert = Callable[[object], object] | None


@cache
def _sqlite_insert(
    table: type[Base], names: tuple[str, ...], overwrite: tuple[str, ...]
) -> tuple[str, list[tuple[str, Convert]]]:
    """Return the statement, and the columns of its parameters in order."""
    dialect = sqlite.dialect(paramstyle="qmark")
    columns = table.__table__.c
    insert = sqlite.insert(table).values({name: bindparam(name) for name in names})
    compiled = _on_conflict(insert, table, overwrite).compile(dialect=dialect)
    assert compiled.positiontup is not None
    converters: list[tuple[str, Convert]] = [
        (name, columns[name].type.dialect_impl(dialect).bind_processor(dialect))
        for name in compiled.positiontup
    ]
    return str(compiled), converters


def _select_rows(columns: Sequence[Column[Any]], rows: Sequence[dict[str, object]]) -> Select[Any]:
    """Return a SELECT of the rows from arrays; a value that all rows share is sent once."""
    arrays: list[Column[Any]] = []
    shared: dict[str, ColumnElement[Any]] = {}
    for column in columns:
        first = rows[0][column.name]
        if arrays and all(row[column.name] == first for row in rows):
            shared[column.name] = cast(literal(first, column.type), column.type)
        else:
            arrays.append(column)
    unnested = (
        func.unnest(*(_array(column, [row[column.name] for row in rows]) for column in arrays))
        .table_valued(*arrays)
        .render_derived()
    )
    return select(
        *(
            shared[column.name] if column.name in shared else unnested.c[column.name]
            for column in columns
        )
    )


def _array(column: ColumnElement[Any], values: Collection[object]) -> ColumnElement[Any]:
    kind = postgresql.ARRAY(column.type)
    if not isinstance(column.type, Integer | Float):
        return literal(list(values), kind)
    # As one text: psycopg writes arrays value by value, which takes three times as long.
    text = ",".join("NULL" if value is None else str(value) for value in values)
    return cast(literal(f"{{{text}}}", String), kind)


def now_of(session: Session) -> datetime:
    """Return the database's time, which all machines share; with SQLite, this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    return moment


def commit_unflushed(session: Session) -> None:
    """
    On Postgres, let this transaction commit without waiting for the disk.

    A power cut may undo the whole transaction, until a later one has waited for the disk. Nothing
    else can undo it.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.connection().exec_driver_sql("SET LOCAL synchronous_commit = off")


def is_one_of(
    session: Session,
    column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None],
    values: Collection[int],
) -> ColumnElement[bool]:
    """Return `column IN values`; on Postgres with one parameter, since thousands are slow."""
    if session.get_bind().dialect.name != "postgresql":
        return column.in_(values)
    return column == func.any(_array(column.expression, values))
