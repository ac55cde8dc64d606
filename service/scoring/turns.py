"""Turns at the work that holds threads and memory: uploads, scores and thumbnails."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from types import MappingProxyType

from service.errors import ServiceError

MAX_RUNNING = 24  # of FastAPI's 40 threads: the others answer everything else
MAX_WAITING = 256
MAX_WAIT_S = 30.0


class TooBusy(ServiceError):
    """More requests wait for a turn than the service can answer in time."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "too-busy"
    title = "Too busy"
    headers: Mapping[str, str] = MappingProxyType({"Retry-After": "5"})

    def __init__(self) -> None:
        super().__init__(
            "the service works on as many images as it can: try again in 5 s, with fewer requests "
            "at a time"
        )


class Turns:
    """
    Turns that requests take in order of arrival, on the event loop; a waiting one needs no thread.

    Requests run together while there are at most `max_running` and their files fit into
    `max_bytes`; larger ones run alone. Of the others, `max_waiting` may wait.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        max_running: int = MAX_RUNNING,
        max_waiting: int = MAX_WAITING,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self._free_bytes = self._max_bytes = max_bytes
        self._num_free = max_running
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @asynccontextmanager
    async def take(self, num_bytes: int) -> AsyncIterator[None]:
        """Wait for a turn with files of so many bytes. Raises TooBusy."""
        num_bytes = min(num_bytes, self._max_bytes)
        if self._waiting or not self._fits(num_bytes):
            await self._wait(num_bytes)
        else:
            self._begin(num_bytes)
        try:
            yield
        finally:
            self._end(num_bytes)

    async def _wait(self, num_bytes: int) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise TooBusy
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, num_bytes))
        try:
            async with asyncio.timeout(self._max_wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._end(num_bytes)  # the turn came at the same moment
            else:
                with suppress(ValueError):  # passed over already
                    self._waiting.remove((turn, num_bytes))
                self._begin_waiting()
            if isinstance(error, TimeoutError):
                raise TooBusy from error
            raise

    def _fits(self, num_bytes: int) -> bool:
        return self._num_free > 0 and num_bytes <= self._free_bytes

    def _begin(self, num_bytes: int) -> None:
        self._num_free -= 1
        self._free_bytes -= num_bytes

    def _end(self, num_bytes: int) -> None:
        self._num_free += 1
        self._free_bytes += num_bytes
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        while self._waiting and self._fits(self._waiting[0][1]):
            turn, num_bytes = self._waiting.popleft()
            if not turn.done():
                self._begin(num_bytes)
                turn.set_result(None)
