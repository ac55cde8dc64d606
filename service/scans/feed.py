"""The work of one process on a scan: it claims ranges and scores their images."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import structlog
from sqlalchemy.orm import Session

from service.db import open_sessions
from service.errors import fault_of
from service.jobs.running import Stopped, TransientError
from service.scans import store
from service.scans.leases import Leases
from service.scans.store import ClaimedRange, Scan
from service.scoring.engine import LoadedVersion
from service.scoring.rescan import score_stored
from service.scoring.resources import Resources
from service.scoring.store import unscored_images
from service.tables import Image
from service.traces import record

PAGE = 256  # images of a range that one query reads

# A rescan saves an image at the latest so many windows after it: its stages hold a few, and an
# image may wait eight for its second look.
EXPECTED_WINDOWS = 12
LATEST_WINDOWS = 48

log = structlog.get_logger()


class _Fed(NamedTuple):
    """A range all of whose images were fed to the rescan, before so many windows."""

    claimed: ClaimedRange
    num_windows: int
    since_ns: int  # when it was claimed


class RangeFeed:
    """
    The windows of the ranges that this process claims, one range after another.

    The images of a range are still being scored while those of the next one are read, so the stages
    of the rescan never run empty between two ranges. A range ends as done only if the database
    shows that no image of it is without a row.
    """

    def __init__(
        self,
        resources: Resources,
        scan: Scan,
        version: LoadedVersion,
        before_window: Callable[[], None],
    ) -> None:
        """`before_window` runs before each window, and may raise Stopped."""
        self._resources = resources
        self._version = version
        self._before_window = before_window
        self._sessions = open_sessions(resources.engine)
        self._job_id = scan.job_id
        self._leases = Leases(
            resources.engine, scan, resources.settings.scan_lease_s, resources.scorer.metrics
        )
        self._reading: ClaimedRange | None = None
        self._fed: deque[_Fed] = deque()
        self._num_claimed = 0
        self._num_windows = 0

    def run(self) -> int:
        """
        Score ranges until there is none left to claim, and return how many were claimed.

        Raises:
            Stopped: from `before_window`; the ranges go back.
            TransientError: the images of a range could not be read or scored.
        """
        with self._leases:
            try:
                score_stored(self._resources, self._version, self._windows())
            except Exception as error:
                self._give_up(error)
                raise
            self._end_fed(after_windows=0, is_last_try=True)
        return self._num_claimed

    def _windows(self) -> Iterator[Sequence[Image]]:
        window: list[Image] = []
        for image in self._images():
            window.append(image)
            if len(window) == self._resources.scorer.window_of(self._version):
                yield from self._feed(window)
                window = []
        if window:
            yield from self._feed(window)

    def _feed(self, window: Sequence[Image]) -> Iterator[Sequence[Image]]:
        self._before_window()
        self._num_windows += 1
        yield window
        self._end_fed(after_windows=EXPECTED_WINDOWS)

    def _images(self) -> Iterator[Image]:
        while (claimed := self._leases.claim()) is not None:
            self._num_claimed += 1
            if claimed.num_failures >= store.MAX_FAILURES:
                self._end(store.fail, claimed)
                continue
            self._reading, since_ns = claimed, time.time_ns()
            yield from self._images_of(claimed)
            self._reading = None
            self._fed.append(_Fed(claimed, self._num_windows, since_ns))

    def _images_of(self, claimed: ClaimedRange) -> Iterator[Image]:
        """Yield the images of a range that have no row; none any more once the range is lost."""
        split, after_id, until_id = claimed.ids
        while True:
            with self._resources.read_sessions.begin() as session:
                page = unscored_images(
                    session,
                    self._version.id,
                    after_id=after_id,
                    until_id=until_id,
                    limit=PAGE,
                    splits=[split],
                )
            for image in page:
                if not self._leases.holds(claimed):
                    return
                yield image
            if not page:
                return
            after_id = page[-1].id

    def _end_fed(self, *, after_windows: int, is_last_try: bool = False) -> None:
        """End the oldest ranges, if the rescan should have saved their images by now."""
        while self._fed:
            claimed, num_before, since_ns = self._fed[0]
            num_since = self._num_windows - num_before
            if num_since < after_windows:
                return
            if not self._leases.holds(claimed):
                log.warning("range lost to another process", images=str(claimed.ids))
            elif not self._is_finished(claimed):
                if not is_last_try and num_since < LATEST_WINDOWS:
                    return
                log.warning("a range has images that were not scored", images=str(claimed.ids))
                self._end(store.count_failure, claimed)
            record("range", since_ns, job=self._job_id or 0, images=str(claimed.ids))
            self._leases.forget(claimed)
            self._fed.popleft()

    def _is_finished(self, claimed: ClaimedRange) -> bool:
        with self._sessions.begin() as session:
            return store.finish(session, self._version.id, claimed)

    def _give_up(self, error: Exception) -> None:
        """Give the ranges back; an error that may be an image's counts as their failure."""
        held = [fed.claimed for fed in self._fed]
        if self._reading is not None:
            held.append(self._reading)
        is_failure = not isinstance(error, Stopped) and fault_of(error) is None
        for claimed in held:
            try:
                self._end(store.count_failure if is_failure else store.give_back, claimed)
            except Exception as second:  # the database is away; the leases will expire
                log.warning("ranges not given back", exc_info=second)
                break
        if is_failure and held:
            where = ", ".join(str(claimed.ids) for claimed in held)
            raise TransientError(f"{where} could not be scored: {error}") from error

    def _end(self, end: Callable[[Session, ClaimedRange], bool], claimed: ClaimedRange) -> None:
        with self._sessions.begin() as session:
            if not end(session, claimed):
                log.warning("range lost to another process", images=str(claimed.ids))
        self._leases.forget(claimed)
