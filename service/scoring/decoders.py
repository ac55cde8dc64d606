"""Threads that decode images, those that clients wait for first."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from queue import PriorityQueue
from threading import Lock, Thread
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

END = 99  # a priority below all work


@dataclass(order=True, slots=True)
class _Call:
    priority: int
    number: int
    run: Callable[[], None] | None = field(compare=False)


class DecodeThreads:
    """Threads that run calls with the lowest `priority` first, and equal ones in order."""

    def __init__(self, num_threads: int) -> None:
        self._queue: PriorityQueue[_Call] = PriorityQueue()
        self._numbers = count()
        self._guard = Lock()
        self._is_closed = False
        self._threads = [
            Thread(target=self._run, name=f"decode-{number}", daemon=True)
            for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[[T], R], item: T, *, priority: int) -> Future[R]:
        """
        Queue a call, and return a future of its result or of the error that it raises.

        A future that is cancelled before its call begins is never run. Raises RuntimeError once
        the threads are closed.
        """
        result: Future[R] = Future()

        def run() -> None:
            if not result.set_running_or_notify_cancel():
                return
            try:
                value = function(item)
            except BaseException as error:
                result.set_exception(error)
            else:
                result.set_result(value)

        with self._guard:
            if self._is_closed:
                raise RuntimeError("the decode threads are closed")
            self._queue.put(_Call(priority, next(self._numbers), run))
        return result

    def close(self) -> None:
        """Run every call that is queued, then end the threads."""
        with self._guard:
            self._is_closed = True
            for _ in self._threads:
                self._queue.put(_Call(END, next(self._numbers), None))
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        torch.set_num_threads(1)  # in this thread
        while (call := self._queue.get()).run is not None:
            call.run()
            del call  # this thread must not hold an image while it waits for the next
