"""The check of database and blobs against each other, while the service runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Engine, text

from service.blobs import BlobStore
from service.db import Sessions
from service.upkeep.expected import ExpectedBlob, expected_blobs, is_still_expected, orphans


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; an orphan wastes room and harms nothing else."""

    text: str
    is_orphan: bool = False


def check(
    engine: Engine,
    sessions: Sessions,
    blobs: BlobStore,
    *,
    reads_content: bool = True,
    deletes_orphans: bool = False,
) -> Iterator[Finding]:
    """
    Yield what is wrong with the database, the blobs that rows name, and blobs without a row.

    Args:
        engine: of the database.
        sessions: for reading.
        blobs: the store.
        reads_content: also compare each blob's bytes with its digest.
        deletes_orphans: delete the blobs that no row names and that are older than an hour.
    """
    stored = list(blobs.list_all()) if deletes_orphans else blobs.list_all()
    yield from _check_database(engine)
    for blob in expected_blobs(sessions):
        fault = fault_of_blob(blobs, blob, reads_content=reads_content)
        if fault is not None and is_still_expected(sessions, blob):
            yield Finding(f"{blob.subject}: {fault}")
    for orphan in orphans(sessions, iter(stored)):
        if deletes_orphans:
            blobs.delete(orphan.key)
        done = "deleted" if deletes_orphans else "delete it with --delete-orphans"
        yield Finding(f"no row names the blob '{orphan.key}': {done}", is_orphan=True)


def fault_of_blob(blobs: BlobStore, blob: ExpectedBlob, *, reads_content: bool) -> str | None:
    """Return what is wrong with a blob; None if it is whole."""
    try:
        if not reads_content:
            return None if blobs.exists(blob.key) else f"its blob '{blob.key}' is missing"
        digest = sha256()
        for chunk in blobs.stream(blob.key):
            digest.update(chunk)
    except FileNotFoundError:
        return f"its blob '{blob.key}' is missing"
    if digest.hexdigest() != blob.sha256:
        return f"its blob '{blob.key}' is damaged: its digest differs"
    return None


def _check_database(engine: Engine) -> Iterator[Finding]:
    """Check SQLite's pages and references; Postgres checks its own."""
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        for (line,) in connection.execute(text("PRAGMA integrity_check")):
            if line != "ok":
                yield Finding(f"the database file is damaged: {line}")
        for row in connection.execute(text("PRAGMA foreign_key_check")):
            yield Finding(f"a row of {row[0]} names a row of {row[2]} that is not there")
