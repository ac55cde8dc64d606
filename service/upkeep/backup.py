"""A backup of rows and blobs, made while the service runs."""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, insert, select, text

from service import migrate
from service.blobs import COPY_CHUNK_BYTES, BlobStore
from service.db import Base, Sessions, open_engine, open_sessions, read_only
from service.tables import Image, ImageCount, ScoreCount, utc_now
from service.upkeep.expected import (
    ExpectedBlob,
    expected_blobs,
    is_still_expected,
    keys_of_open_jobs,
)

DATABASE = "database.sqlite3"
BLOBS = "blobs"
MANIFEST = "manifest.json"
FORMAT_VERSION = 1
ROWS_AT_ONCE = 1000
SQLITE_LAST_IDS = "SELECT name, seq FROM sqlite_sequence"
POSTGRES_LAST_ID = "SELECT pg_sequence_last_value(pg_get_serial_sequence(:table, 'id')::regclass)"
KEPT_BY_TRIGGERS = {ImageCount.__tablename__, ScoreCount.__tablename__}


@dataclass(slots=True)
class BackupReport:
    """The number of blobs in a backup, and those that could not be saved."""

    num_blobs: int = 0
    num_copied: int = 0
    size_bytes: int = 0
    problems: list[str] = field(default_factory=list)


def back_up(engine: Engine, sessions: Sessions, blobs: BlobStore, folder: Path) -> BackupReport:
    """
    Write all rows of one moment, and the blobs that they name, into a folder.

    The rows come first, as an SQLite file whatever the database is: blobs never change, and those
    of later uploads are not missed. Blobs that the folder has already are not copied again. The
    manifest is written last: a folder without one is no whole backup.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    database = folder / DATABASE
    _write_rows(engine, database)
    report = BackupReport()
    lost: list[ExpectedBlob] = []
    with opened(database) as saved:
        saved_sessions = open_sessions(read_only(saved))
        for blob in expected_blobs(saved_sessions):
            fault = _copy(blobs, blob, folder, report)
            if fault is not None:
                lost.append(blob)
                if is_still_expected(sessions, blob):
                    report.problems.append(f"{blob.subject}: {fault}")
        with saved_sessions.begin() as session:
            keys = keys_of_open_jobs(session)
        for key in keys:
            _copy_of_job(blobs, key, folder)
        with saved.begin() as connection:  # their images are deleted since, or of no use
            gone = [blob.key for blob in lost]
            connection.execute(delete(Image).where(Image.blob_key.in_(gone)))
    _write_manifest(folder, report)
    return report


def _write_rows(engine: Engine, path: Path) -> None:
    partial = path.with_suffix(".part")
    for suffix in ("", "-wal", "-shm", ".migration-lock"):
        partial.with_name(partial.name + suffix).unlink(missing_ok=True)
    if engine.dialect.name == "sqlite":
        with (
            closing(sqlite3.connect(str(engine.url.database))) as source,
            closing(sqlite3.connect(partial)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
    else:
        with opened(partial) as target:
            migrate.upgrade(target)
            with snapshot(engine) as source, target.begin() as copy:
                copy_rows(source, copy)
                set_last_ids(copy, last_ids(source))
        partial.with_name(f"{partial.name}.migration-lock").unlink()
    os.replace(partial, path)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees the rows of one moment, whatever is written meanwhile."""
    level = "REPEATABLE READ" if engine.dialect.name == "postgresql" else "SERIALIZABLE"
    with engine.connect() as connection:
        connection = connection.execution_options(isolation_level=level)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield connection


def copy_rows(source: Connection, target: Connection) -> None:
    """Copy the rows of all tables in the order of their references; triggers count them."""
    for table in Base.metadata.sorted_tables:
        if table.name in KEPT_BY_TRIGGERS:
            continue
        rows = source.execution_options(yield_per=ROWS_AT_ONCE).execute(
            select(table).order_by(*table.primary_key.columns)
        )
        for page in rows.mappings().partitions(ROWS_AT_ONCE):
            target.execute(insert(table), [dict(row) for row in page])


def last_ids(connection: Connection) -> dict[str, int]:
    """Return the last id that each table has given, also to a row that was deleted since."""
    if connection.dialect.name == "sqlite":
        return {name: seq for name, seq in connection.execute(text(SQLITE_LAST_IDS)) if seq}
    ids: dict[str, int] = {}
    for table in Base.metadata.sorted_tables:
        if "id" in table.columns:
            last = connection.scalar(text(POSTGRES_LAST_ID), {"table": table.name})
            ids |= {table.name: int(last)} if last else {}
    return ids


def set_last_ids(connection: Connection, ids: Mapping[str, int]) -> None:
    """Let each table go on after the last id that it gave: ids never return."""
    for table, last in ids.items():
        values = {"table": table, "last": last}
        if connection.dialect.name == "sqlite":
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), values)
            statement = "INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)"
        else:
            statement = "SELECT setval(pg_get_serial_sequence(:table, 'id'), :last)"
        connection.execute(text(statement), values)


@contextmanager
def opened(path: Path) -> Iterator[Engine]:
    """Open an SQLite file, and leave all of it in the one file."""
    engine = open_engine(f"sqlite:///{path.absolute()}")
    try:
        yield engine
    finally:
        with engine.connect() as connection:
            connection.connection.dbapi_connection.execute(  # type: ignore[union-attr]
                "PRAGMA journal_mode = DELETE"
            )
        engine.dispose()


def _copy(blobs: BlobStore, blob: ExpectedBlob, folder: Path, report: BackupReport) -> str | None:
    """Copy a blob, unless it is there already; return what is wrong with it."""
    target = folder / BLOBS / blob.key
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".part")
        try:
            digest = _write(blobs, blob.key, partial)
        except FileNotFoundError:
            partial.unlink(missing_ok=True)
            return f"its blob '{blob.key}' is missing"
        if digest != blob.sha256:
            partial.unlink()
            return f"its blob '{blob.key}' is damaged: its digest differs"
        os.replace(partial, target)
        report.num_copied += 1
    report.num_blobs += 1
    report.size_bytes += target.stat().st_size
    return None


def _copy_of_job(blobs: BlobStore, key: str, folder: Path) -> None:
    """Copy a blob of an unfinished job, which the job may have deleted meanwhile."""
    target = folder / BLOBS / key
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(blobs, key, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)


def _write(blobs: BlobStore, key: str, path: Path) -> str:
    digest = sha256()
    with path.open("wb") as file:
        for chunk in blobs.stream(key):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _write_manifest(folder: Path, report: BackupReport) -> None:
    with (folder / DATABASE).open("rb") as file:
        digest = sha256()
        while chunk := file.read(COPY_CHUNK_BYTES):
            digest.update(chunk)
    manifest = {
        "format": FORMAT_VERSION,
        "made_at": utc_now().isoformat(),
        "database_sha256": digest.hexdigest(),
        "num_blobs": report.num_blobs,
        "size_bytes": report.size_bytes,
        "problems": report.problems,
    }
    partial = folder / f"{MANIFEST}.part"
    partial.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / MANIFEST)
