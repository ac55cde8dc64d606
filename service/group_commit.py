"""Small writes of many threads, gathered into few transactions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from service.db import Sessions, commit_unflushed, is_away, is_disk_full

T = TypeVar("T")


@dataclass(slots=True)
class _Write(Generic[T]):
    work: Callable[[Session], T]
    durable: bool
    is_done: bool = False
    results: list[T] = field(default_factory=list)
    error: Exception | None = None


class GroupCommit:
    """
    A queue for the writes of several threads, which run in one transaction after another.

    Writes that come during a transaction share the next one. They need one flush to the disk for
    all of them, and on SQLite no thread sleeps until the database happens to be free.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._waiting: list[_Write[object]] = []
        self._changed = Condition()
        self._is_writing = False

    @property
    def num_waiting(self) -> int:
        """Writes that wait for the next transaction."""
        return len(self._waiting)

    def run(self, work: Callable[[Session], T], *, durable: bool = True) -> T:
        """
        Run `work` in a transaction, and return its result after the commit. Raises its errors.

        `work` may run twice: if one write of a group fails, all are rolled back, and each runs
        alone, unless the database is away or locked: then all fail at once. A group without a
        `durable` write does not wait for the disk, so a power cut may undo it.
        """
        write: _Write[T] = _Write(work, durable)
        with self._changed:
            self._waiting.append(write)  # type: ignore[arg-type]  # results of many types
            while self._is_writing and not write.is_done:
                self._changed.wait()
            group: list[_Write[object]] = []
            if not write.is_done:  # no other thread has committed it
                group, self._waiting = self._waiting, []
                self._is_writing = bool(group)
        if group:
            try:
                self._commit(group)
            finally:
                with self._changed:
                    self._is_writing = False
                    self._changed.notify_all()
        if write.error is not None:
            raise write.error
        return write.results[0]

    def _commit(self, group: Sequence[_Write[object]]) -> None:
        try:
            with self._sessions.begin() as session:
                if not any(write.durable for write in group):
                    commit_unflushed(session)
                results = [write.work(session) for write in group]
        except Exception as error:
            # Each write alone would only wait as long again for a database that is away.
            if len(group) == 1 or is_away(error) or is_disk_full(error):
                for write in group:
                    write.error, write.is_done = error, True
                return
            for write in group:
                self._commit([write])
            return
        for write, result in zip(group, results, strict=True):
            write.results, write.is_done = [result], True
