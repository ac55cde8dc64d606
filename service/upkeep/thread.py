"""The thread of the server that keeps database and blobs in order."""

import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import structlog

from service.audit import store as audit_store
from service.db import now_of
from service.locks import try_lock
from service.scoring.resources import Resources
from service.upkeep.expected import orphans

LOOK_EVERY_S = 15.0
IDLE_AFTER_S = 10.0  # without a write, SQLite's log is copied into the database file
STOP_TIMEOUT_S = 2.0
SWEEP_EVERY_S = 86_400.0
FIRST_SWEEP_AFTER_S = 900.0
# A database that is not the one of these blobs would make orphans of all of them.
MOST_ORPHANS = 1000
LARGEST_SHARE = 0.05

log = structlog.get_logger()


class Upkeep:
    """
    A thread that empties SQLite's log when nobody writes, forgets old audit rows once a day, and
    deletes blobs that no row names.

    A copy of the database file alone is whole after a quiet time: without this, all could be in
    the log.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stopping = Event()
        self._next_sweep_at = time.monotonic() + FIRST_SWEEP_AFTER_S
        self._thread = Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)  # a sweep of many blobs is harmless to leave

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                checkpoint_if_idle(self._resources)
                if time.monotonic() >= self._next_sweep_at:
                    self._next_sweep_at = time.monotonic() + SWEEP_EVERY_S
                    self._sweep()
            except Exception as error:  # the thread must outlive a database that is away
                log.error("upkeep failed, will try again", exc_info=error)

    def _sweep(self) -> None:
        with try_lock(self._resources.engine, "upkeep") as held:
            if held:
                forget_old_changes(self._resources)
                delete_orphans(self._resources)


def checkpoint_if_idle(resources: Resources, idle_after_s: float = IDLE_AFTER_S) -> None:
    """Copy SQLite's log into the database file, and empty it, if nobody writes or reads."""
    if resources.engine.dialect.name != "sqlite":
        return
    database = Path(str(resources.engine.url.database))
    written_ahead = database.with_name(f"{database.name}-wal")
    if not written_ahead.is_file() or written_ahead.stat().st_size == 0:
        return
    if time.time() - written_ahead.stat().st_mtime < idle_after_s:
        return
    # A connection of its own: it waits for no one, and nobody waits for it in the pool.
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def forget_old_changes(resources: Resources) -> None:
    """Delete the audit rows that are older than the settings say."""
    with resources.sessions.begin() as session:
        oldest = now_of(session) - timedelta(days=resources.settings.audit_days)
        audit_store.delete_before(session, oldest)


def delete_orphans(resources: Resources) -> int:
    """Delete blobs that no row names, unless there are suspiciously many; return how many."""
    blobs = list(resources.blobs.list_all())
    found = list(orphans(resources.read_sessions, iter(blobs)))
    if len(found) > min(MOST_ORPHANS, max(10, LARGEST_SHARE * len(blobs))):
        log.error("many blobs have no row: run 'hardneg fsck'", num_orphans=len(found))
        return 0
    for orphan in found:
        resources.blobs.delete(orphan.key)
    if found:
        log.info("orphans deleted", num_orphans=len(found))
    return len(found)
