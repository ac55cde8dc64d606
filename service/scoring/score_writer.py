"""The thread of a rescan that saves scores while the next images are scored."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from sqlalchemy.orm import Session

from service.group_commit import GroupCommit
from service.scoring import margins, store
from service.scoring.engine import LoadedVersion
from service.scoring.results import ScoreResult

MAX_UNSAVED = 32  # images per transaction: few, because uploads wait for it


class ScoreWriter:
    """
    A thread that saves the results of one version, one transaction after another.

    Results that come during a transaction are gathered for the next one. The next call raises the
    error of a transaction that failed.
    """

    def __init__(self, group_commit: GroupCommit, version: LoadedVersion) -> None:
        self._group_commit = group_commit
        self._version = version
        self._num_measured = version.screen.num_measured if version.screen else 0  # saved ones
        self._unsaved: dict[int, ScoreResult] = {}
        self._saving: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scores")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Save what is left, even after an error elsewhere."""
        try:
            self._start_saving()
            self._wait()
        finally:
            self._thread.shutdown()

    def add(self, results: Mapping[int, ScoreResult]) -> None:
        """Save results by image id; wait only while `MAX_UNSAVED` of them are gathered."""
        self._unsaved |= results
        if self._saving is None or self._saving.done() or len(self._unsaved) >= MAX_UNSAVED:
            self._start_saving()

    def _start_saving(self) -> None:
        self._wait()
        if self._unsaved:
            self._saving = self._thread.submit(self._save, self._unsaved)
            self._unsaved = {}

    def _wait(self) -> None:
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def _save(self, results: Mapping[int, ScoreResult]) -> None:
        version, screen = self._version, self._version.screen
        # Read before the error: the other thread may raise both meanwhile.
        num_measured = screen.num_measured if screen else 0

        def write(session: Session) -> None:
            store.save_scores(session, version.id, results)
            if screen is not None and num_measured > self._num_measured:
                margins.save_screen_margin(
                    session, version.id, screen.computed_by, num_measured, screen.largest_error
                )

        # After a power cut the next sweep finds the images whose scores are lost.
        self._group_commit.run(write, durable=False)
        self._num_measured = num_measured
