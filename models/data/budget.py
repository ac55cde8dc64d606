"""A budget of memory that threads share."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class MemoryBudget:
    """
    Bytes that threads take while they work and give back afterwards, first come, first served.

    A thread that asks for more than there is in all gets everything, once it is alone.
    """

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._free_bytes = total_bytes
        self._changed = Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def take(self, num_bytes: int) -> Iterator[None]:
        """Wait until so many bytes are free, and hold them meanwhile."""
        num_bytes = min(num_bytes, self.total_bytes)
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            while self._waiting[0] is not ticket or self._free_bytes < num_bytes:
                self._changed.wait()
            self._waiting.popleft()
            self._free_bytes -= num_bytes
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free_bytes += num_bytes
                self._changed.notify_all()
