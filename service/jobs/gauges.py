"""The thread of the server that counts waiting work for the metrics."""

from threading import Event, Thread

import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.exc import SQLAlchemyError

from service.db import Sessions
from service.jobs import store

COUNT_EVERY_S = 10.0
STOP_TIMEOUT_S = 2.0

log = structlog.get_logger()


class QueueGauges:
    """
    Gauges of what the database has in its queues, counted every few seconds.

    A request for the metrics must not wait for the database. While that does not answer, the gauges
    have no values.
    """

    def __init__(self, sessions: Sessions, registry: CollectorRegistry) -> None:
        self._sessions = sessions
        self._jobs = Gauge(
            "hardneg_jobs",
            "Jobs that wait or run, by kind and status",
            ["kind", "status"],
            registry=registry,
        )
        self._ranges = Gauge(
            "hardneg_scan_ranges",
            "Ranges of scans that wait or are being scored, by status",
            ["status"],
            registry=registry,
        )
        self._seen: set[tuple[str, str]] = set()  # a queue that has become empty shows 0
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="queue-gauges", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)

    def count(self) -> None:
        """Count once."""
        try:
            with self._sessions.begin() as session:
                num_jobs = store.count_unfinished(session)
                num_ranges = store.count_unfinished_ranges(session)
        except SQLAlchemyError as error:
            log.warning("the queues cannot be counted", error=repr(error))
            self._jobs.clear()
            self._ranges.clear()
            return
        self._seen |= num_jobs.keys()
        for labels in self._seen:
            self._jobs.labels(*labels).set(num_jobs.get(labels, 0))
        for status, num in num_ranges.items():
            self._ranges.labels(status).set(num)

    def _run(self) -> None:
        while True:
            self.count()
            if self._stopping.wait(COUNT_EVERY_S):
                return
