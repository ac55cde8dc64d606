"""The ranges that a process holds, and the thread that renews their leases."""

import os
import socket
import time
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from service.db import open_sessions, read_only
from service.metrics import Metrics
from service.scans import store
from service.scans.store import ClaimedRange, Scan

LONGEST_BEAT_S = 1.0
BEATS = 10  # in the time of a lease
WRITES = 4  # likewise; the other beats only look whether the ranges are still held

log = structlog.get_logger()


class Leases:
    """
    The ranges of one scan that this process holds.

    As a context manager it starts a thread that renews all leases together. A range is lost once
    another process may have claimed it, or the scan was cancelled and its ranges deleted.
    """

    def __init__(self, engine: Engine, scan: Scan, lease_s: float, metrics: Metrics) -> None:
        self._sessions = open_sessions(engine)
        self._read_sessions = open_sessions(read_only(engine))
        self._scan = scan
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._lease_s = lease_s
        self._metrics = metrics
        self._lock = Lock()
        self._held: dict[int, int] = {}  # attempts by id
        self._renewed_at: dict[int, float] = {}
        self._ended = Event()
        self._thread = Thread(target=self._keep, name="leases-of-ranges", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def claim(self) -> ClaimedRange | None:
        """Claim a range of the scan, if there is one left."""
        started = time.monotonic()
        with self._sessions.begin() as session:
            claimed = store.claim(session, self._scan, self._worker, self._lease_s)
        if claimed is not None:
            if claimed.was_held:
                self._metrics.lease_expiries.labels("range").inc()
            with self._lock:
                self._held[claimed.id] = claimed.attempt
                self._renewed_at[claimed.id] = started
        return claimed

    def holds(self, claimed: ClaimedRange) -> bool:
        """Return whether the lease of a range is valid, without asking the database."""
        with self._lock:
            if self._held.get(claimed.id) != claimed.attempt:
                return False
            return time.monotonic() - self._renewed_at[claimed.id] < self._lease_s

    def forget(self, claimed: ClaimedRange) -> None:
        """Renew this range no more."""
        with self._lock:
            if self._held.get(claimed.id) == claimed.attempt:
                del self._held[claimed.id], self._renewed_at[claimed.id]

    def _keep(self) -> None:
        beat_s = min(self._lease_s / BEATS, LONGEST_BEAT_S)
        while not self._ended.wait(beat_s):
            try:
                self._beat()
            except DBAPIError as error:
                log.warning("leases of ranges not renewed, trying again", exc_info=error)

    def _beat(self) -> None:
        with self._lock:
            held = dict(self._held)
            oldest = min(self._renewed_at.values(), default=0.0)
        if not held:
            return
        started = time.monotonic()
        is_due = started - oldest > self._lease_s / WRITES
        if is_due:
            with self._sessions.begin() as session:
                kept = store.renew(session, held, self._lease_s)
        else:
            with self._read_sessions.begin() as session:
                kept = store.still_held(session, held)
        with self._lock:
            for range_id, attempt in held.items():
                if self._held.get(range_id) != attempt:
                    continue  # given up, or claimed once more, meanwhile
                if range_id not in kept:
                    log.warning("range lost to another process", range=range_id)
                    del self._held[range_id], self._renewed_at[range_id]
                elif is_due:
                    self._renewed_at[range_id] = started
